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


def test_a_discriminator_that_loses_now_and_then_has_not_won(monkeypatch, caplog):
    monkeypatch.setattr(reports, "_WON_STEPS", 2)
    watch = reports.DiscriminatorWatch()
    for step, loss in enumerate((0.0, 1.0, 0.0), 1):
        watch.see({"discriminator_hr": 0.5, "discriminator_loss": loss}, step)
    assert caplog.messages == []
    watch.see({"discriminator_hr": 0.5, "discriminator_loss": 0.0}, 4)
    assert len(caplog.messages) == 1


def test_times_are_per_step_and_per_image():
    watch = reports.Stopwatch()
    assert [watch.next(iter("abc")) for _ in range(3)] == ["a"] * 3
    times = watch.read(batch_size=4)
    assert times["images_per_second"] * times["step_seconds"] == pytest.approx(4)
    assert 0 <= times["input_wait"] <= 1


def test_a_line_of_progress():
    losses = {"pixel_loss": 0.5, "learning_rate": 1e-4, "validation_psnr_y": 27.123, "validation_lpips": 0.25}
    times = {"step_seconds": 2.0, "images_per_second": 8.04}
    assert reports.progress_line(("pretraining", 12), 4, losses, times) == (
        "pretraining 4/12, pixel_loss 0.5000, validation 27.12 dB, LPIPS 0.2500, 8.0 images/s, 00:16 left"
    )


def test_crops_that_vanish_stop_the_training(features, crops_of_size):
    crops = crops_of_size(48, 3)
    tiny = tiny_training(RECIPE, features)
    validation = Validation([CropPair(*crops[0])])
    del crops.__dict__["records"]  # as in a new process
    next(crops.folder.glob("*.array_record")).unlink()
    with pytest.raises(UserError, match=r"the crops cannot be read any more .*kedro run --pipelines=materialize"):
        train(*tiny, training_batches(crops, 2, augment=False, seed=3), validation, ignore)
