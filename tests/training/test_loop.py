import numpy as np
import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.training.input import CropPair
from sr_pipeline.training.recipes import Recipe
from sr_pipeline.training.validation import Validation
from tests.conftest import PRECISIONS
from tests.training.tiny import RECIPE, tiny_training, train_on, variant


def test_a_training_goes_through_both_phases_and_reports(tiny, batch):
    seen = []
    result = train_on(batch, tiny, lambda metrics, step, picture=None: seen.append((step, metrics, picture)))
    assert list(result.generators) == ["srresnet", "srgan"]
    assert [(row["step"], row["phase"]) for row in result.history] == [
        (2, "pretraining"),
        (4, "pretraining"),
        (6, "adversarial"),
        (7, "adversarial"),
    ]
    assert ["validation_psnr_y" in row for row in result.history] == [False, True, False, True]
    assert [step for step, _, _ in seen] == [2, 4, 6, 7]
    assert all({"images_per_second", "step_seconds", "input_wait"} <= metrics.keys() for _, metrics, _ in seen)
    assert [picture is not None for _, _, picture in seen] == [False, True, False, True]
    lr = batch.lr[:1].astype(np.float32) / 255
    assert not np.allclose(result.generators["srresnet"](lr), result.generators["srgan"](lr))
    assert np.allclose(result.generators["srgan"](lr), tiny.state.generator(lr))


def test_validations_come_when_they_are_asked_for(features, batch):
    """Also where no row of losses would end: phases are as long as one likes."""
    recipe = RECIPE.model_dump() | {"pretraining": {"steps": 5, "learning_rate": {"initial": 1e-3}}}
    recipe["adversarial"] |= {"steps": 12}
    result = train_on(batch, tiny_training(Recipe.model_validate(recipe), features))
    measured = [row["step"] for row in result.history if "validation_psnr_y" in row]
    assert measured == [4, 5, 8, 12, 16, 17]
    assert [row["step"] for row in result.history] == [2, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 17]


def test_a_training_that_is_ended_early_is_one_of_so_many_steps(features, batch):
    """Asked for in the first phase already, it ends in the last one."""

    def recipe(steps):
        return variant(
            pretraining={"steps": 4, "learning_rate": {"initial": 1e-3}}, adversarial={"steps": steps, "weight": 1e-3}
        )

    ended = train_on(batch, tiny_training(recipe(12), features), lambda metrics, step, picture=None: step >= 2)
    planned = train_on(batch, tiny_training(recipe(3), features))
    assert [row["step"] for row in planned.history] == [2, 4, 6, 7]
    assert ended.history == planned.history
    pairs = [(ended.best, planned.best), *((ended.generators[name], planned.generators[name]) for name in ("srgan",))]
    for one, other in pairs:
        assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_equal_trainings_are_equal_to_the_bit(features, batch, precision):
    first, second = (train_on(batch, tiny_training(RECIPE, features, precision)) for _ in range(2))
    assert first.history == second.history
    for name, model in first.generators.items():
        weights = zip(model.get_weights(), second.generators[name].get_weights(), strict=True)
        assert all(np.array_equal(a, b) for a, b in weights)


def test_the_best_generator_is_kept(features, batch):
    """With a rate that ruins the generator, the first validation stays the best."""
    recipe = variant(adversarial={"steps": 8, "learning_rate": {"initial": 0.3}})
    result = train_on(batch, tiny_training(recipe, features))
    measured = [row["validation_psnr_y"] for row in result.history if "validation_psnr_y" in row]
    assert len(measured) == 2
    validation = Validation([CropPair(hr, lr) for hr, lr in zip(batch.hr, batch.lr, strict=True)])
    assert validation.measure(result.best)[0]["validation_psnr_y"] == pytest.approx(max(measured), abs=1e-3)
    assert validation.measure(result.generators["srgan"])[0]["validation_psnr_y"] == pytest.approx(
        measured[-1], abs=1e-3
    )


def test_a_loss_that_is_no_number_stops_the_training(features, batch):
    recipe = RECIPE.model_copy(update={"pretraining": None})
    tiny = tiny_training(recipe, features)
    weights = tiny.state.generator.get_weights()
    weights[0][:] = np.nan
    tiny.state.generator.set_weights(weights)
    with pytest.raises(UserError, match=r"loss became nan in adversarial at step 1; a lower learning rate"):
        train_on(batch, tiny)
