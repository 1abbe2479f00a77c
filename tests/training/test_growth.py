import numpy as np
import pytest
import tensorflow as tf

from sr_pipeline.networks.progressive import enlarge_twice, halve
from sr_pipeline.training.growth import enlarge_by_half, faded_step, growth_step
from sr_pipeline.training.recipes import LearningRate
from sr_pipeline.training.setup import TrainingSetup
from sr_pipeline.training.steps import to_minus_one_one, to_zero_one
from tests.conftest import PRECISIONS
from tests.training.tiny import changed, tiny_training, train_on, variant


@pytest.mark.parametrize("precision", PRECISIONS)
def test_progressive_training_goes_from_half_to_full_resolution(features, batch, precision):
    recipe = variant(growth={"steps": 2, "fade_steps": 2}, adversarial={"steps": 3})
    tiny = tiny_training(recipe, features, precision)
    upper = tiny.state.generator.get_layer("double2_conv").get_weights()[0]
    lower = tiny.state.generator.get_layer("head_conv").get_weights()[0]
    ends = (tiny.state.growth.to_rgb, tiny.state.growth.from_rgb)
    before = [end.get_weights() for end in ends]
    step = growth_step(*tiny)
    step(batch.hr, batch.lr)
    assert all(any(changed(weights, end)) for weights, end in zip(before, ends, strict=True))
    assert np.array_equal(upper, tiny.state.generator.get_layer("double2_conv").get_weights()[0])
    assert not np.array_equal(lower, tiny.state.generator.get_layer("head_conv").get_weights()[0])
    result = train_on(batch, tiny)
    assert [row["phase"] for row in result.history] == ["growth", "adversarial", "adversarial"]
    assert list(result.generators) == ["srgan"]
    assert not np.array_equal(upper, tiny.state.generator.get_layer("double2_conv").get_weights()[0])


def test_the_full_resolution_fades_in_over_the_first_steps(features, batch, monkeypatch):
    """In what the generator makes, and as much in the photographs that it is compared with."""
    setup, state = tiny_training(variant(growth={"steps": 9, "fade_steps": 4}, adversarial={"steps": 6}), features)
    given = []
    monkeypatch.setattr(TrainingSetup, "gan_step", lambda setup, *parts: given.extend(parts))
    faded_step(setup, state, 6, LearningRate())
    generator, _, prepare = given
    hr, lr = to_minus_one_one(batch.hr), to_zero_one(batch.lr)
    for step, share in enumerate((0.0, 0.25, 0.5, 0.75, 1.0, 1.0)):
        faded = share * hr + (1 - share) * enlarge_twice(halve(hr))
        assert np.allclose(prepare(hr, tf.constant(step)), faded, atol=1e-6)
    for step, made in ((0, enlarge_by_half(state, lr)), (4, state.generator(lr))):
        assert np.allclose(generator.call(lr, tf.constant(step)), made, atol=1e-6)
