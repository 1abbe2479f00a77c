"""The training loop: optional MSE pretraining, then the adversarial phase, one custom step each."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.metrics import luma, psnr
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.networks.discriminator import build_discriminator
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.inference import to_uint8
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.shards import CropShards
from sr_pipeline.training.checkpoint import Checkpoint, Checkpoints
from sr_pipeline.training.input import CropPair, training_batches
from sr_pipeline.training.objectives import (
    discriminator_loss,
    generator_adversarial_loss,
    perceptual_loss,
    pixel_loss,
)
from sr_pipeline.training.precision import dtype_policy
from sr_pipeline.training.recipes import LearningRate, Recipe, TrainParameters

log = logging.getLogger(__name__)

Losses = dict[str, tf.Tensor]


@dataclass(frozen=True)
class TrainingStep:
    """One update of a phase, and the optimizers whose state belongs to it."""

    update: Callable[[tf.Tensor, tf.Tensor], Losses]
    optimizers: dict[str, keras.optimizers.Optimizer]

    def __call__(self, hr: tf.Tensor, lr: tf.Tensor) -> Losses:
        """Update on uint8 batches of crops."""
        return self.update(hr, lr)


class Phase(NamedTuple):
    """A part of a training: what its generator is called, how many steps, and how the step is made."""

    name: str
    generator: str
    steps: int
    build_step: Callable[[], TrainingStep]


class Observer(Protocol):
    """Is told how the training goes, as it goes."""

    def __call__(self, metrics: dict[str, float], step: int) -> None:
        """Take ``metrics`` of global step ``step``, counted over both phases from 1."""


@dataclass
class TrainingResult:
    """What a training leaves.

    Attributes:
        generators: float32 models, ``srgan`` and, when pretrained, ``srresnet``.
        history: a row each ``log_every`` steps: phase, step, losses and, at times, validation PSNR. No
            timings, so that equal trainings have equal histories.
    """

    generators: dict[str, keras.Model]
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Builds the networks of a recipe and trains them.

    Args:
        recipe: what to train.
        features: the VGG19 of the perceptual loss.
        crop_size: edge of the HR crops.
        precision: ``float32`` or ``bfloat16``.
        seed: of initial weights and of the order of crops.
    """

    def __init__(
        self, recipe: Recipe, features: FeatureExtractor, *, crop_size: int, precision: str, seed: int
    ) -> None:
        policy = dtype_policy(precision)
        self.recipe = recipe
        self.features = features
        self.seed = seed
        self.generator = build_generator(recipe.generator, dtype=policy, seed=seed)
        self.discriminator = build_discriminator(recipe.discriminator, crop_size, dtype=policy, seed=seed + 1)

    def train(
        self,
        crops: CropShards,
        validation: list[CropPair],
        parameters: TrainParameters,
        observe: Observer,
        checkpoints: Checkpoints | None = None,
    ) -> TrainingResult:
        """Run the phases of the recipe on ``crops`` and measure on ``validation`` now and then.

        With ``checkpoints`` it goes on from the newest one, and the result is the same to the bit as without
        the interruption.

        Raises:
            UserError: if a loss stops being a finite number, memory runs out, or a checkpoint cannot be written.
        """
        phases = self.phases()
        loop = _Loop(self, validation, parameters, observe, checkpoints)
        restored = checkpoints.newest(sum(phase.steps for phase in phases)) if checkpoints else None
        if restored:
            loop.restore(restored)
        recipe = self.recipe
        batches = training_batches(crops, recipe.batch_size, augment=recipe.augment, seed=self.seed, start=loop.step)
        first = 0
        for phase in phases:
            last = first + phase.steps
            if loop.step < last:
                step = phase.build_step()
                if restored and restored.phase == phase.name:
                    _restore_optimizers(step, restored)
                loop.run(phase, step, batches, last)
            if phase.generator not in loop.generators:
                loop.generators[phase.generator] = self.float32_generator()
            first = last
        return TrainingResult(loop.generators, loop.history)

    def phases(self) -> list[Phase]:
        """The phases of the recipe in their order."""
        recipe = self.recipe
        phases = []
        if recipe.pretraining:
            steps, rate = recipe.pretraining.steps, recipe.pretraining.learning_rate
            phases.append(Phase("pretraining", "srresnet", steps, partial(self.pretraining_step, steps, rate)))
        steps, rate = recipe.adversarial.steps, recipe.adversarial.learning_rate
        phases.append(Phase("adversarial", "srgan", steps, partial(self.adversarial_step, steps, rate)))
        return phases

    def pretraining_step(self, steps: int, learning_rate: LearningRate) -> TrainingStep:
        """One update of the generator on mean squared error; takes uint8 batches (hr, lr)."""
        generator = self.generator
        optimizer = build_optimizer(learning_rate, steps, generator)

        @tf.function
        def step(hr: tf.Tensor, lr: tf.Tensor) -> Losses:
            with tf.GradientTape() as tape:
                loss = pixel_loss(signed(hr), generator(unit(lr), training=True))
            _apply(optimizer, tape.gradient(loss, generator.trainable_variables), generator)
            return {"pixel_loss": loss, "learning_rate": optimizer.learning_rate}

        return TrainingStep(step, {"generator_optimizer": optimizer})

    def adversarial_step(self, steps: int, learning_rate: LearningRate) -> TrainingStep:
        """One simultaneous update of generator and discriminator; takes uint8 batches (hr, lr).

        Both losses come from the same forward passes. Each gradient is taken with respect to its own
        network's variables only, so neither update reaches into the other network or into VGG.
        """
        generator, discriminator, features = self.generator, self.discriminator, self.features
        adversarial = self.recipe.adversarial
        generator_optimizer = build_optimizer(learning_rate, steps, generator)
        discriminator_optimizer = build_optimizer(learning_rate, steps, discriminator)

        @tf.function
        def step(hr: tf.Tensor, lr: tf.Tensor) -> Losses:
            target = signed(hr)
            target_features = features(target)
            with tf.GradientTape(persistent=True) as tape:
                sr = generator(unit(lr), training=True)
                hr_logits = discriminator(target, training=True)
                sr_logits = discriminator(sr, training=True)
                perceptual = perceptual_loss(target_features, features(sr), adversarial.feature_scale)
                deception = generator_adversarial_loss(sr_logits)
                generator_loss = perceptual + adversarial.weight * deception
                judgement = discriminator_loss(hr_logits, sr_logits)
            generator_gradients = tape.gradient(generator_loss, generator.trainable_variables)
            discriminator_gradients = tape.gradient(judgement, discriminator.trainable_variables)
            _apply(generator_optimizer, generator_gradients, generator)
            _apply(discriminator_optimizer, discriminator_gradients, discriminator)
            return {
                "perceptual_loss": perceptual,
                "adversarial_loss": deception,
                "generator_loss": generator_loss,
                "discriminator_loss": judgement,
                "discriminator_hr": tf.reduce_mean(tf.sigmoid(hr_logits)),
                "discriminator_sr": tf.reduce_mean(tf.sigmoid(sr_logits)),
                "learning_rate": generator_optimizer.learning_rate,
            }

        optimizers = {"generator_optimizer": generator_optimizer, "discriminator_optimizer": discriminator_optimizer}
        return TrainingStep(step, optimizers)

    def float32_generator(self) -> keras.Model:
        """A copy of the present generator that computes in float32."""
        return self.generator_of(self.generator.get_weights())

    def generator_of(self, weights: list[NDArray[Any]]) -> keras.Model:
        """A generator with these weights that computes in float32."""
        model = build_generator(self.recipe.generator, seed=self.seed)
        model.set_weights(weights)
        return model


def unit(image: tf.Tensor) -> tf.Tensor:
    """8-bit to [0, 1], the range of low-resolution input."""
    return tf.cast(image, tf.float32) / 255.0


def signed(image: tf.Tensor) -> tf.Tensor:
    """8-bit to [-1, 1], the range of high-resolution images."""
    return tf.cast(image, tf.float32) / 127.5 - 1.0


def build_optimizer(learning_rate: LearningRate, steps: int, model: keras.Model) -> keras.optimizers.Adam:
    """Adam with the learning rate of a phase of ``steps`` steps, its slots made for ``model``."""
    optimizer = keras.optimizers.Adam(learning_rate_schedule(learning_rate, steps))
    optimizer.build(model.trainable_variables)
    return optimizer


def learning_rate_schedule(
    learning_rate: LearningRate, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Keras' schedule for ``learning_rate`` over ``steps`` steps."""
    warmup = min(learning_rate.warmup_steps, steps - 1)
    schedules = keras.optimizers.schedules
    if learning_rate.decay == "cosine":
        start = 0.0 if warmup else learning_rate.initial
        return schedules.CosineDecay(
            start, max(steps - warmup, 1), warmup_target=learning_rate.initial if warmup else None, warmup_steps=warmup
        )
    boundaries, values = [], [learning_rate.initial]
    if learning_rate.decay == "step":
        boundaries, values = [steps // 2], [learning_rate.initial, learning_rate.initial / 10]
    return schedules.PiecewiseConstantDecay(boundaries, values) if boundaries else learning_rate.initial


def _apply(optimizer: keras.optimizers.Adam, gradients: list[tf.Tensor], model: keras.Model) -> None:
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))


def _restore_optimizers(step: TrainingStep, checkpoint: Checkpoint) -> None:
    for name, optimizer in step.optimizers.items():
        for variable, value in zip(optimizer.variables, checkpoint.arrays[name], strict=True):
            variable.assign(value)


class _Loop:
    """Runs phases one after the other over the same stream of batches, reports, and writes checkpoints."""

    def __init__(
        self,
        trainer: Trainer,
        validation: list[CropPair],
        parameters: TrainParameters,
        observe: Observer,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.trainer = trainer
        self.validation = validation
        self.parameters = parameters
        self.observe = observe
        self.checkpoints = checkpoints
        self.history: list[dict[str, Any]] = []
        self.generators: dict[str, keras.Model] = {}
        self.step = 0
        self._checkpoint_step = 0

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put the networks back to where they were."""
        log.info("going on from the checkpoint of step %d in %s", checkpoint.step, checkpoint.phase)
        self.step = self._checkpoint_step = checkpoint.step
        self.history = checkpoint.history
        self.trainer.generator.set_weights(checkpoint.arrays["generator"])
        self.trainer.discriminator.set_weights(checkpoint.arrays["discriminator"])
        if "srresnet" in checkpoint.arrays:
            self.generators["srresnet"] = self.trainer.generator_of(checkpoint.arrays["srresnet"])

    def run(self, phase: Phase, step_function: TrainingStep, batches: Iterator[CropPair], last: int) -> None:
        """Go on with ``phase`` up to global step ``last``."""
        window: list[dict[str, float]] = []
        started = time.perf_counter()
        done = self.step - (last - phase.steps)
        # disable=None: a bar on a terminal, plain log lines elsewhere.
        with (
            logging_redirect_tqdm(),
            tqdm(total=phase.steps, initial=done, desc=phase.name, unit="step", disable=None) as bar,
        ):
            while self.step < last:
                batch = next(batches)
                losses = _run_step(step_function, batch, phase.name)
                self.step += 1
                done += 1
                _check_finite(losses, phase.name, self.step)
                window.append(losses)
                bar.update()
                if done % self.parameters.log_every == 0 or self.step == last:
                    row = self._report(phase.name, window, self.step == last)
                    speed = len(window) / (time.perf_counter() - started)
                    bar.set_postfix_str(_loss_text(row))
                    if bar.disable:
                        log.info(_progress_line(phase.name, row, done, phase.steps, speed))
                    self.observe({"images_per_second": speed * self.trainer.recipe.batch_size}, self.step)
                    self._save_if_due(phase, step_function, self.step == last)
                    window, started = [], time.perf_counter()

    def _report(self, phase: str, window: list[dict[str, float]], last: bool) -> dict[str, Any]:
        """Average the losses of the last steps, validate if due, and pass both on."""
        metrics = {name: float(np.mean([losses[name] for losses in window])) for name in window[-1]}
        metrics["learning_rate"] = window[-1]["learning_rate"]
        if last or self.step % self.parameters.validate_every == 0:
            metrics["validation_psnr_y"] = validation_psnr(self.trainer.generator, self.validation)
        self.history.append({"step": self.step, "phase": phase, **metrics})
        self.observe(metrics, self.step)
        return metrics

    def _save_if_due(self, phase: Phase, step_function: TrainingStep, last: bool) -> None:
        """Write a checkpoint where rows of losses end, so that no half row is lost with an interruption."""
        due = self.step - self._checkpoint_step >= self.parameters.checkpoint_every
        if self.checkpoints is None or not (due or last):
            return
        arrays = {
            "generator": self.trainer.generator.get_weights(),
            "discriminator": self.trainer.discriminator.get_weights(),
        }
        for name, optimizer in step_function.optimizers.items():
            arrays[name] = [variable.numpy() for variable in optimizer.variables]
        for name, model in self.generators.items():
            arrays[name] = model.get_weights()
        self.checkpoints.save(Checkpoint(self.step, phase.name, arrays, self.history))
        self._checkpoint_step = self.step


def _run_step(step_function: TrainingStep, batch: CropPair, phase: str) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in step_function(batch.hr, batch.lr).items()}
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"memory ran out in {phase}; lower recipes.<name>.batch_size or the size of the networks"
        ) from error


def _check_finite(losses: dict[str, float], phase: str, step: int) -> None:
    for name, value in losses.items():
        if not np.isfinite(value):
            raise UserError(
                f"{name} became {value} in {phase} at step {step}; a lower learning rate "
                f"(recipes.<name>.{phase}.learning_rate.initial) or train.precision=float32 may mend it"
            )


def validation_psnr(generator: keras.Model, pairs: list[CropPair]) -> float:
    """Mean PSNR-Y in dB over whole validation crops, a border of the scale removed."""
    values = []
    inner = slice(SCALE, -SCALE)
    for pair, sr in zip(pairs, super_resolve_crops(generator, pairs), strict=True):
        values.append(psnr(luma(pair.hr)[inner, inner], luma(sr)[inner, inner]))
    return float(np.mean(values))


def super_resolve_crops(generator: keras.Model, pairs: list[CropPair]) -> list[RgbImage]:
    """Super-resolve the LR crops of equal size in one batch."""
    lr = np.stack([pair.lr for pair in pairs])
    return list(to_uint8(generator(lr.astype(np.float32) / 255.0, training=False).numpy()))


def _loss_text(metrics: dict[str, Any]) -> str:
    shown = [f"{name} {value:.4f}" for name, value in metrics.items() if name.endswith("_loss")]
    if "validation_psnr_y" in metrics:
        shown.append(f"validation {metrics['validation_psnr_y']:.2f} dB")
    return ", ".join(shown)


def _progress_line(phase: str, metrics: dict[str, Any], number: int, steps: int, speed: float) -> str:
    remaining = tqdm.format_interval((steps - number) / speed)
    return f"{phase} {number}/{steps}, {_loss_text(metrics)}, {speed:.1f} steps/s, {remaining} left"
