"""The setup of a training: what its steps are built from, and does not change while it runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.training.devices import Devices, open_devices
from sr_pipeline.training.optimizers import build_optimizer
from sr_pipeline.training.recipes import AdamParameters, LearningRate, Recipe
from sr_pipeline.training.steps import GanStep, Losses, NetworkCall, TrainableNetwork, Update, adversarial_update


@dataclass(frozen=True)
class TrainingStep:
    """One update of a phase, compiled, and the optimizers whose state belongs to it."""

    update: Callable[[Any, Any], Losses]
    optimizers: dict[str, keras.optimizers.Optimizer]

    def __call__(self, hr: Any, lr: Any) -> Losses:
        """Update on uint8 batches of crops."""
        return self.update(hr, lr)


@dataclass(frozen=True)
class TrainingSetup:
    """What a training is made from.

    Attributes:
        recipe: what to train.
        features: the VGG19 of the perceptual loss, made in the scope of ``devices``.
        crop_size: edge of the HR crops.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        seed: of initial weights and of all else that is drawn.
        devices: where to train; the first device unless given.
    """

    recipe: Recipe
    features: FeatureExtractor
    crop_size: int
    precision: str = "float32"
    seed: int = 0
    devices: Devices = field(default_factory=lambda: open_devices("none"))

    def __post_init__(self) -> None:
        self.devices.check_batch_size(self.recipe.batch_size)

    def optimizer(self, steps: int, learning_rate: LearningRate, adam: AdamParameters) -> keras.optimizers.Optimizer:
        """The optimizer of one network in a phase of ``steps`` steps."""
        return build_optimizer(learning_rate, steps, adam, scales_loss=self.precision == "float16")

    def adversarial_optimizer(self, steps: int, learning_rate: LearningRate) -> keras.optimizers.Optimizer:
        """The optimizer of one network of a GAN in a phase of ``steps`` steps."""
        return self.optimizer(steps, learning_rate, self.recipe.adversarial.adam)

    def gan_step(
        self, generator: TrainableNetwork, discriminator: TrainableNetwork, prepare: NetworkCall
    ) -> TrainingStep:
        """One simultaneous update of both networks; ``prepare`` is as in ``GanStep``."""
        gan_step = GanStep(generator, discriminator, self.features, prepare, self.recipe.adversarial, self.seed)
        optimizers = {"generator": generator.optimizer, "discriminator": discriminator.optimizer}
        return self.compile(adversarial_update(gan_step), optimizers)

    def compile(self, update: Update, optimizers: dict[str, keras.optimizers.Optimizer]) -> TrainingStep:
        """Compile an update, which then takes whole batches, for the devices."""
        compiled = self.devices.step_function(update)
        if self.devices.replicas == 1:
            return TrainingStep(compiled, optimizers)
        return TrainingStep(lambda hr, lr: compiled(self.devices.split(hr), self.devices.split(lr)), optimizers)
