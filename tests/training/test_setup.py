import os

import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.training.devices import Devices
from sr_pipeline.training.phases import adversarial_step, pretraining_step
from sr_pipeline.training.recipes import LearningRate
from tests.training.tiny import RECIPE, changed, tiny_training, variant


@pytest.mark.skipif(
    "ONEDNN_MAX_CPU_ISA" in os.environ,
    reason="TensorFlow asks the processor alone, not ONEDNN_MAX_CPU_ISA, whether oneDNN computes float16",
)
def test_float16_scales_the_losses(features, batch):
    tiny = tiny_training(RECIPE, features, "float16")
    step = pretraining_step(*tiny, 10, LearningRate())
    first = {name: float(value) for name, value in step(batch.hr, batch.lr).items()}
    exact = tiny_training(RECIPE, features)
    expected = {k: float(v) for k, v in pretraining_step(*exact, 10, LearningRate())(batch.hr, batch.lr).items()}
    assert float(step.optimizers["generator"].dynamic_scale) >= 1024
    assert first["pixel_loss"] == pytest.approx(expected["pixel_loss"], rel=0.02)
    assert first["generator_gradient_norm"] == pytest.approx(expected["generator_gradient_norm"], rel=0.05)
    before = tiny.state.generator.get_weights()
    step(batch.hr, batch.lr)
    assert any(changed(before, tiny.state.generator))


def test_both_networks_learn_by_the_recipes_adam(features):
    recipe = variant(adversarial={"steps": 3, "adam": {"beta_1": 0.25, "beta_2": 0.5}})
    optimizers = adversarial_step(*tiny_training(recipe, features), 10, LearningRate()).optimizers
    moments = {name: (optimizer.beta_1, optimizer.beta_2) for name, optimizer in optimizers.items()}
    assert moments == dict.fromkeys(("generator", "discriminator"), (0.25, 0.5))


def test_devices_share_batches_evenly(features, monkeypatch):
    monkeypatch.setattr(Devices, "replicas", 2)
    with pytest.raises(UserError, match=r"2 devices cannot share batches of 3 evenly; set recipes\.<name>\.batch_size"):
        tiny_training(variant(batch_size=3, adversarial={"steps": 3}), features)


def test_a_short_training_traces_once(tiny, batch):
    step = pretraining_step(*tiny, 10, LearningRate())
    for _ in range(3):
        step(batch.hr, batch.lr)
    assert step.update.experimental_get_tracing_count() == 1
