import numpy as np
import pytest

from sr_pipeline.training import phases
from sr_pipeline.training.generators import float32_generator
from sr_pipeline.training.phases import adversarial_step, pretraining_step
from sr_pipeline.training.recipes import LearningRate
from sr_pipeline.training.steps import TrainableNetwork
from tests.training.tiny import changed, tiny_training, variant


def test_an_adversarial_step_moves_both_networks_and_not_vgg(tiny, batch):
    generator, discriminator, vgg = (
        m.get_weights() for m in (tiny.state.generator, tiny.state.discriminator, tiny.setup.features.model)
    )
    losses = {
        name: float(loss) for name, loss in adversarial_step(*tiny, 10, LearningRate())(batch.hr, batch.lr).items()
    }
    assert all(changed(generator, tiny.state.generator))
    assert any(changed(discriminator, tiny.state.discriminator))
    assert not any(changed(vgg, tiny.setup.features.model))
    assert losses["generator_loss"] == pytest.approx(
        losses["perceptual_loss"] + 1e-3 * losses["adversarial_loss"], rel=1e-5
    )


@pytest.mark.parametrize("frozen", ["generator", "discriminator"])
def test_neither_network_moves_the_other(tiny, batch, frozen, monkeypatch):
    """With one optimizer's rate at zero its network stays, whatever the other does."""
    model = getattr(tiny.state, frozen)

    def network_with_zero_rate(call, models, optimizer, *rest):
        if models[0] is model:
            optimizer.learning_rate = 0.0
        return TrainableNetwork(call, models, optimizer, *rest)

    monkeypatch.setattr(phases, "TrainableNetwork", network_with_zero_rate)
    other = "discriminator" if frozen == "generator" else "generator"
    before = {name: [w.numpy() for w in getattr(tiny.state, name).trainable_variables] for name in (frozen, other)}
    adversarial_step(*tiny, 10, LearningRate())(batch.hr, batch.lr)
    after = {name: [w.numpy() for w in getattr(tiny.state, name).trainable_variables] for name in (frozen, other)}
    assert all(np.array_equal(a, b) for a, b in zip(before[frozen], after[frozen], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(before[other], after[other], strict=True))


@pytest.mark.parametrize("refinement", [None, {"filters": 4, "layers": 2}])
def test_equal_phases_leave_no_grid_on_areas_of_one_colour(features, batch, refinement):
    direct = {"batch_normalization": False, "upsampling": "direct", "refinement": refinement}
    generator = {"filters": 8, "blocks": 1} | direct
    flat = np.full((1, 20, 20, 3), 0.6, np.float32)
    grids = {}
    for equal in (False, True):
        recipe = variant(generator=generator | {"equal_phases": equal}, adversarial={"steps": 3})
        tiny = tiny_training(recipe, features)
        adversarial_step(*tiny, 10, LearningRate(initial=1e-2))(batch.hr, batch.lr)
        saved = float32_generator(tiny.setup, tiny.state.generator.get_weights())
        grids[equal] = np.ptp(saved(flat)[0, 36:44, 36:44].numpy(), axis=(0, 1)).max()
    assert grids[True] < 1e-5
    assert grids[False] > 1e-2


def test_one_batch_can_be_overfitted(tiny, batch):
    step = pretraining_step(*tiny, 150, LearningRate(initial=3e-3))
    losses = [float(step(batch.hr, batch.lr)["pixel_loss"]) for _ in range(150)]
    assert losses[-1] < 0.15 * losses[0]
