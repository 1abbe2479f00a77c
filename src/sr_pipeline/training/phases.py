"""The phases of a recipe, and the step of each."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import tensorflow as tf

from sr_pipeline.training.growth import enlarge_by_half, faded_step, growth_step
from sr_pipeline.training.recipes import AdamParameters, LearningRate
from sr_pipeline.training.setup import TrainingSetup, TrainingStep
from sr_pipeline.training.state import TrainState
from sr_pipeline.training.steps import TrainableNetwork, pretraining_update
from sr_pipeline.training.validation import Enlarge


class Phase(NamedTuple):
    """A part of a training.

    Attributes:
        name: of the phase.
        generator: name of the resulting generator; None if it is not kept.
        steps: how many.
        build_step: makes the step.
        enlarge: the generator as it is now, for validation.
    """

    name: str
    generator: str | None
    steps: int
    build_step: Callable[[], TrainingStep]
    enlarge: Enlarge


def build_phases(setup: TrainingSetup, state: TrainState) -> list[Phase]:
    """The phases of the recipe in their order."""
    recipe = setup.recipe
    enlarge = partial(_enlarge, state)
    phases = []
    if recipe.pretraining:
        steps, rate = recipe.pretraining.steps, recipe.pretraining.learning_rate
        build_step = partial(pretraining_step, setup, state, steps, rate)
        phases.append(Phase("pretraining", "srresnet", steps, build_step, enlarge))
    if recipe.growth:
        build_step = partial(growth_step, setup, state)
        phases.append(Phase("growth", None, recipe.growth.steps, build_step, partial(enlarge_by_half, state)))
    steps, rate = recipe.adversarial.steps, recipe.adversarial.learning_rate
    build_step = partial(adversarial_step, setup, state, steps, rate)
    phases.append(Phase("adversarial", "srgan", steps, build_step, enlarge))
    return phases


def pretraining_step(setup: TrainingSetup, state: TrainState, steps: int, learning_rate: LearningRate) -> TrainingStep:
    """One update of the generator on mean squared error; takes uint8 batches (hr, lr)."""
    generator = TrainableNetwork(
        lambda lr, count: state.generator(lr, training=True),
        [state.generator],
        setup.optimizer(steps, learning_rate, AdamParameters()),
        state.ema,
        setup.recipe.ema_decay,
    )
    return setup.compile(pretraining_update(generator), {"generator": generator.optimizer})


def adversarial_step(setup: TrainingSetup, state: TrainState, steps: int, learning_rate: LearningRate) -> TrainingStep:
    """One simultaneous update of generator and discriminator; takes uint8 batches (hr, lr)."""
    if state.growth:
        return faded_step(setup, state, steps, learning_rate)
    return setup.gan_step(
        TrainableNetwork(
            lambda lr, count: state.generator(lr, training=True),
            [state.generator],
            setup.adversarial_optimizer(steps, learning_rate),
            state.ema,
            setup.recipe.ema_decay,
        ),
        TrainableNetwork(
            lambda images, count: state.discriminator(images, training=True),
            [state.discriminator],
            setup.adversarial_optimizer(steps, learning_rate),
        ),
        lambda target, count: target,
    )


def _enlarge(state: TrainState, lr: tf.Tensor) -> tf.Tensor:
    return state.resulting_generator(lr, training=False)
