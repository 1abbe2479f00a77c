import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.training import reports
from sr_pipeline.training.input import CropPair, training_batches
from sr_pipeline.training.loop import train
from sr_pipeline.training.validation import Validation
from tests.training.tiny import RECIPE, ignore, tiny_training, train_on


def test_a_discriminator_that_has_won_is_reported(tiny, batch, monkeypatch, caplog):
    monkeypatch.setattr(reports, "_WON_LOSS", 100.0)
    monkeypatch.setattr(reports, "_WON_STEPS", 2)
    train_on(batch, tiny)
    assert caplog.text.count("the discriminator has won: its loss was below 100 for 2 steps up to step 6") == 1


def test_crops_that_vanish_stop_the_training(features, crops_of_size):
    crops = crops_of_size(48, 3)
    tiny = tiny_training(RECIPE, features)
    validation = Validation([CropPair(*crops[0])])
    del crops.__dict__["records"]  # as in a new process
    next(crops.folder.glob("*.array_record")).unlink()
    with pytest.raises(UserError, match=r"the crops cannot be read any more .*kedro run --pipelines=materialize"):
        train(*tiny, training_batches(crops, 2, augment=False, seed=3), validation, ignore)
