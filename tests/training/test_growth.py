import numpy as np
import pytest

from sr_pipeline.training.growth import growth_step
from tests.conftest import PRECISIONS
from tests.training.tiny import tiny_training, train_on, variant


@pytest.mark.parametrize("precision", PRECISIONS)
def test_progressive_training_goes_from_half_to_full_resolution(features, batch, precision):
    recipe = variant(growth={"steps": 2, "fade_steps": 2}, adversarial={"steps": 3})
    tiny = tiny_training(recipe, features, precision)
    upper = tiny.state.generator.get_layer("double2_conv").get_weights()[0]
    lower = tiny.state.generator.get_layer("head_conv").get_weights()[0]
    step = growth_step(*tiny)
    step(batch.hr, batch.lr)
    assert np.array_equal(upper, tiny.state.generator.get_layer("double2_conv").get_weights()[0])
    assert not np.array_equal(lower, tiny.state.generator.get_layer("head_conv").get_weights()[0])
    result = train_on(batch, tiny)
    assert [row["phase"] for row in result.history] == ["growth", "adversarial", "adversarial"]
    assert list(result.generators) == ["srgan"]
    assert not np.array_equal(upper, tiny.state.generator.get_layer("double2_conv").get_weights()[0])
