"""The steps of growing networks: at half the resolution, and while the full resolution fades in.

Karras et al. 2018, "Progressive Growing of GANs", ICLR; the networks are in ``networks/progressive.py``.
"""

import tensorflow as tf

from sr_pipeline.networks.progressive import enlarge_twice, halve
from sr_pipeline.training.recipes import LearningRate
from sr_pipeline.training.setup import TrainingSetup, TrainingStep
from sr_pipeline.training.state import TrainState
from sr_pipeline.training.steps import TrainableNetwork


def growth_step(setup: TrainingSetup, state: TrainState) -> TrainingStep:
    """One adversarial update of the lower halves of both networks, on images of half the size."""
    growth, parameters = state.growth, setup.recipe.growth
    assert growth is not None
    assert parameters is not None
    rate = setup.recipe.adversarial.learning_rate.model_copy(update={"decay": "constant"})
    return setup.gan_step(
        TrainableNetwork(
            lambda lr, count: growth.generate_half(lr),
            [growth.half_generator],
            setup.adversarial_optimizer(parameters.steps, rate),
        ),
        TrainableNetwork(
            lambda images, count: growth.half_logits(images),
            [growth.from_rgb, growth.later_layers],
            setup.adversarial_optimizer(parameters.steps, rate),
        ),
        lambda target, count: halve(target),
    )


def faded_step(setup: TrainingSetup, state: TrainState, steps: int, learning_rate: LearningRate) -> TrainingStep:
    """One adversarial update of both whole networks, whose upper halves fade in over the first steps."""
    growth, parameters = state.growth, setup.recipe.growth
    assert growth is not None
    assert parameters is not None

    def alpha(count: tf.Tensor) -> tf.Tensor:
        return tf.minimum(tf.cast(count, tf.float32) / parameters.fade_steps, 1.0)

    def prepare(target: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Photographs lose what the generator cannot make yet (Karras et al. 2018, figure 2)."""
        return alpha(count) * target + (1.0 - alpha(count)) * enlarge_twice(halve(target))

    return setup.gan_step(
        TrainableNetwork(
            lambda lr, count: growth.generate_faded(lr, alpha(count)),
            [state.generator, growth.to_rgb],
            setup.adversarial_optimizer(steps, learning_rate),
            state.ema,
            setup.recipe.ema_decay,
        ),
        TrainableNetwork(
            lambda images, count: growth.faded_logits(images, alpha(count)),
            [state.discriminator, growth.from_rgb],
            setup.adversarial_optimizer(steps, learning_rate),
        ),
        prepare,
    )


def enlarge_by_half(state: TrainState, lr: tf.Tensor) -> tf.Tensor:
    """Enlarge by the lower half of the generator and by nearest neighbour: what fading in begins with."""
    assert state.growth is not None
    return enlarge_twice(state.growth.half_generator(lr, training=False))
