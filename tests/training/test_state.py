import logging

import numpy as np
import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.training.phases import adversarial_step
from sr_pipeline.training.recipes import LearningRate
from sr_pipeline.training.state import begin
from tests.training.tiny import tiny_training, variant

RECIPE = variant(ema_decay=0.9, growth={"steps": 1, "fade_steps": 1}, adversarial={"steps": 3})


def test_a_checkpoint_holds_the_whole_state(features, batch, caplog):
    setup, state = tiny_training(RECIPE, features)
    step = adversarial_step(setup, state, 10, LearningRate())
    state.begin_phase("adversarial", step.optimizers)
    step(batch.hr, batch.lr)
    state.step, state.history = 2, [{"step": 2, "phase": "adversarial"}]
    state.codes = ["old code"]
    state.best, state.kept = state.generator.get_weights(), {"srresnet": state.ema.get_weights()}

    caplog.set_level(logging.INFO)
    restored = begin(setup, state.checkpoint(), "new code")
    origin = ", computed by other code or libraries (old code)"
    assert caplog.messages == ["going on from the checkpoint of step 2 in adversarial" + origin]
    restored.begin_phase("adversarial", adversarial_step(setup, restored, 10, LearningRate()).optimizers)
    assert restored.networks.keys() == {"generator", "discriminator", "to_rgb", "from_rgb", "ema"}
    assert (restored.step, restored.phase, restored.history) == (2, "adversarial", state.history)
    assert restored.codes == ["old code", "new code"]
    expected, arrays = state.arrays(), restored.arrays()
    assert arrays.keys() == expected.keys()
    assert {name.partition("/")[0] for name in arrays} == {"networks", "optimizers", "kept", "best"}
    for name, values in expected.items():
        assert all(np.array_equal(a, b) for a, b in zip(values, arrays[name], strict=True)), name


def test_a_new_phase_begins_with_the_moving_average_at_the_weights(features):
    state = tiny_training(RECIPE, features).state
    state.generator.set_weights([weight + 1 for weight in state.generator.get_weights()])
    state.begin_phase("adversarial", {})
    for weight, mean in zip(state.generator.get_weights(), state.ema.get_weights(), strict=True):
        assert np.array_equal(weight, mean)


@pytest.mark.parametrize("change", [{"generator": {"filters": 4, "blocks": 1}}, {"ema_decay": 0.0}])
def test_a_checkpoint_of_other_networks_is_refused(features, change):
    """As code that has changed since may build them."""
    checkpoint = tiny_training(variant(adversarial={"steps": 3}, **change), features).state.checkpoint()
    setup = tiny_training(variant(adversarial={"steps": 3}, ema_decay=0.9), features).setup
    with pytest.raises(UserError, match=r"step 0 does not fit the networks .*; train\.resume=false starts over"):
        begin(setup, checkpoint)


def test_a_checkpoint_of_other_optimizers_is_refused(features):
    setup, state = tiny_training(variant(adversarial={"steps": 3}), features)
    state.begin_phase("adversarial", {"generator": setup.adversarial_optimizer(3, LearningRate())})
    restored = begin(setup, state.checkpoint())
    with pytest.raises(UserError, match="does not fit the networks or optimizers of the present code"):
        restored.begin_phase("adversarial", adversarial_step(setup, restored, 3, LearningRate()).optimizers)
