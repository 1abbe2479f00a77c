"""The training: phases of a recipe, one after the other, over one stream of batches."""

import logging
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from sr_pipeline.crops.shards import CropShards
from sr_pipeline.errors import UserError
from sr_pipeline.networks.discriminator import build_discriminator
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.precision import dtype_policy
from sr_pipeline.networks.progressive import Growth, enlarge_twice, halve
from sr_pipeline.training.checkpoint import Checkpoint, Checkpoints
from sr_pipeline.training.devices import Devices, open_devices
from sr_pipeline.training.input import CropPair, training_batches
from sr_pipeline.training.recipes import AdamParameters, LearningRate, Recipe, TrainParameters
from sr_pipeline.training.steps import (
    GanStep,
    Losses,
    NetworkCall,
    TrainableNetwork,
    Update,
    adversarial_update,
    build_optimizer,
    pretraining_update,
)
from sr_pipeline.training.validation import Enlarge, Validation

log = logging.getLogger(__name__)

# A discriminator whose loss stays below _WON_LOSS for _WON_STEPS steps tells the generator nothing any more.
_WON_LOSS, _WON_STEPS = 0.01, 200


@dataclass(frozen=True)
class TrainingStep:
    """One update of a phase, and the optimizers whose state belongs to it."""

    update: Callable[[Any, Any], Losses]
    optimizers: dict[str, keras.optimizers.Optimizer]

    def __call__(self, hr: Any, lr: Any) -> Losses:
        """Update on uint8 batches of crops."""
        return self.update(hr, lr)


class Phase(NamedTuple):
    """A part of a training.

    Attributes:
        name: of the phase.
        generator: what its generator is called in the end; None for one that nobody will use.
        steps: how many.
        build_step: makes the step.
        enlarge: the generator as it is now, for validation.
    """

    name: str
    generator: str | None
    steps: int
    build_step: Callable[[], TrainingStep]
    enlarge: Enlarge


class Observer(Protocol):
    """Is told how the training goes, as it goes."""

    def __call__(self, metrics: dict[str, float], step: int, picture: Image.Image | None = None) -> None:
        """Take ``metrics`` of global step ``step``, counted over all phases from 1, and at times a picture."""


@dataclass
class TrainingResult:
    """What a training leaves.

    Attributes:
        generators: float32 models, ``srgan`` and, when pretrained, ``srresnet``, as they were after their last step;
            with an interpolation, ``srgan`` between both.
        best: the ``srgan`` of the best validation, likewise.
        history: a row each ``log_every`` steps: phase, step, losses and, at times, validation metrics. No
            timings, so that equal trainings have equal histories.
    """

    generators: dict[str, keras.Model]
    best: keras.Model
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """Builds the networks of a recipe and trains them.

    Args:
        recipe: what to train.
        features: the VGG19 of the perceptual loss.
        crop_size: edge of the HR crops.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        seed: of initial weights, of the order of crops, and of all else that is drawn.
        devices: where to train; ``features`` was made in their scope.
    """

    def __init__(
        self,
        recipe: Recipe,
        features: FeatureExtractor,
        *,
        crop_size: int,
        precision: str,
        seed: int,
        devices: Devices | None = None,
    ) -> None:
        policy = dtype_policy(precision)
        self.recipe = recipe
        self.features = features
        self.seed = seed
        self.precision = precision
        self.devices = devices or open_devices("none")
        self.devices.check_batch_size(recipe.batch_size)
        with self.devices.strategy.scope():
            self.generator = build_generator(recipe.generator, dtype=policy, seed=seed, for_training=True)
            self.discriminator = build_discriminator(
                recipe.discriminator, crop_size - recipe.adversarial.shift, dtype=policy, seed=seed + 1
            )
            networks = (recipe.generator, recipe.discriminator)
            self.growth = (
                Growth(self.generator, self.discriminator, networks, dtype=policy, seed=seed + 2)
                if recipe.growth
                else None
            )
            self.ema = (
                build_generator(recipe.generator, dtype=policy, seed=seed, for_training=True)
                if recipe.ema_decay
                else None
            )

    @property
    def networks(self) -> dict[str, keras.Model]:
        """All that has weights, by the names checkpoints know them by."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        if self.growth:
            networks |= {"to_rgb": self.growth.to_rgb, "from_rgb": self.growth.from_rgb}
        if self.ema:
            networks["ema"] = self.ema
        return networks

    @property
    def resulting_generator(self) -> keras.Model:
        """The generator to measure and keep: the moving average, if there is one."""
        return self.ema or self.generator

    def train(
        self,
        crops: CropShards,
        validation: Validation,
        parameters: TrainParameters,
        observe: Observer,
        checkpoints: Checkpoints | None = None,
    ) -> TrainingResult:
        """Run the phases of the recipe on ``crops`` and measure now and then.

        With ``checkpoints`` it goes on from the newest one, and the result is the same to the bit as without
        the interruption.

        Raises:
            UserError: if a loss stops being a finite number, memory runs out, crops cannot be read any more, or a
                checkpoint cannot be written.
        """
        phases = self.phases()
        loop = _Loop(self, validation, parameters, observe, checkpoints)
        restored = checkpoints.newest(sum(phase.steps for phase in phases)) if checkpoints else None
        recipe = self.recipe
        with self.devices.strategy.scope():
            if restored:
                loop.restore(restored)
            elif recipe.pretraining and recipe.pretraining.given:
                self._take_pretrained(recipe.pretraining.given)
                loop.step = recipe.pretraining.steps if recipe.pretraining.generator else 0
            batches = training_batches(
                crops, recipe.batch_size, augment=recipe.augment, seed=self.seed, start=loop.step
            )
            self._run(phases, loop, batches, restored)
        best = self.generator_of(self._interpolated(loop.best, loop.generators))
        return TrainingResult(loop.generators, best, loop.history)

    def _run(
        self, phases: list[Phase], loop: "_Loop", batches: Iterator[CropPair], restored: Checkpoint | None
    ) -> None:
        first = 0
        for phase in phases:
            last = first + phase.steps
            if loop.step < last:
                step = phase.build_step()
                if restored and restored.phase == phase.name and restored.step > first:
                    _restore_optimizers(step, restored)
                elif self.ema:
                    self.ema.set_weights(self.generator.get_weights())
                loop.run(phase, step, batches, last)
            if phase.generator and phase.generator not in loop.generators:
                weights = self.resulting_generator.get_weights()
                if phase.generator == "srgan":
                    weights = self._interpolated(weights, loop.generators)
                loop.generators[phase.generator] = self.generator_of(weights)
                self.generator.set_weights(weights)  # the next phase goes on from what is kept
            first = last

    def _interpolated(self, weights: list[NDArray[Any]], kept: dict[str, keras.Model]) -> list[NDArray[Any]]:
        """Between the pretrained weights and those of the adversarial phase: Wang et al. 2018, section 3.4."""
        alpha = self.recipe.adversarial.interpolation
        if alpha == 1:
            return weights
        pretrained = kept["srresnet"].get_weights()
        model = build_generator(self.recipe.generator, seed=self.seed, for_training=True)
        model.set_weights([(1 - alpha) * start + alpha * end for start, end in zip(pretrained, weights, strict=True)])
        for weight in model.weights:
            if weight.constraint:  # which those of the pretraining may not meet
                weight.assign(weight.constraint(weight))
        return model.get_weights()

    def _take_pretrained(self, file: Path) -> None:
        """Start from the weights of a generator in ``file``: layers that it does not have must not change the picture.

        Raises:
            UserError: if it is none of this recipe's network.
        """
        started = self.generator_of(self.generator.get_weights())
        try:
            model = keras.saving.load_model(file, compile=False)
            for layer in model.layers:
                started.get_layer(layer.name).set_weights(layer.get_weights())
            picture = np.linspace(0, 1, 3 * 8 * 8, dtype=np.float32).reshape(1, 8, 8, 3)
            if not np.allclose(model(picture), started(picture), atol=1e-4):
                raise ValueError("it computes something else")
        except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"{file} is no generator of this recipe's network ({reason}); set recipes.<name>.generator to the one "
                "it was trained with, or name another file in recipes.<name>.pretraining"
            ) from error
        for network in filter(None, (self.generator, self.ema)):
            network.set_weights(started.get_weights())

    def phases(self) -> list[Phase]:
        """The phases of the recipe in their order."""
        recipe = self.recipe
        phases = []
        if recipe.pretraining:
            steps, rate = recipe.pretraining.steps, recipe.pretraining.learning_rate
            phases.append(
                Phase("pretraining", "srresnet", steps, partial(self.pretraining_step, steps, rate), self._enlarge)
            )
        if recipe.growth:
            phases.append(Phase("growth", None, recipe.growth.steps, self.growth_step, self._enlarge_by_half))
        steps, rate = recipe.adversarial.steps, recipe.adversarial.learning_rate
        phases.append(Phase("adversarial", "srgan", steps, partial(self.adversarial_step, steps, rate), self._enlarge))
        return phases

    def pretraining_step(self, steps: int, learning_rate: LearningRate) -> TrainingStep:
        """One update of the generator on mean squared error; takes uint8 batches (hr, lr)."""
        optimizer = self._optimizer(learning_rate, steps, AdamParameters())
        network = self._trainable_generator(lambda lr, count: self.generator(lr, training=True), optimizer)
        return self._step(pretraining_update(network), {"generator_optimizer": optimizer})

    def adversarial_step(self, steps: int, learning_rate: LearningRate) -> TrainingStep:
        """One simultaneous update of generator and discriminator; takes uint8 batches (hr, lr)."""
        if self.recipe.growth and self.growth:
            return self._faded_step(self.growth, self.recipe.growth.fade_steps, steps, learning_rate)
        return self._gan_step(
            self._trainable_generator(
                lambda lr, count: self.generator(lr, training=True), self._adversarial_optimizer(steps, learning_rate)
            ),
            TrainableNetwork(
                lambda images, count: self.discriminator(images, training=True),
                [self.discriminator],
                self._adversarial_optimizer(steps, learning_rate),
            ),
            lambda target, count: target,
        )

    def growth_step(self) -> TrainingStep:
        """One adversarial update of the lower halves of both networks, on images of half the size."""
        growth, parameters = self.growth, self.recipe.growth
        assert growth is not None
        assert parameters is not None
        rate = self.recipe.adversarial.learning_rate.model_copy(update={"decay": "constant"})
        return self._gan_step(
            TrainableNetwork(
                lambda lr, count: growth.generate_half(lr),
                [growth.half_generator],
                self._adversarial_optimizer(parameters.steps, rate),
            ),
            TrainableNetwork(
                lambda images, count: growth.half_logits(images),
                [growth.from_rgb, growth.later_layers],
                self._adversarial_optimizer(parameters.steps, rate),
            ),
            lambda target, count: halve(target),
        )

    def generator_of(self, weights: list[NDArray[Any]]) -> keras.Model:
        """A generator of stock Keras layers with these weights that computes in float32."""
        model = build_generator(self.recipe.generator, seed=self.seed)
        model.set_weights(weights)
        return model

    def _faded_step(self, growth: Growth, fade_steps: int, steps: int, learning_rate: LearningRate) -> TrainingStep:
        def alpha(count: tf.Tensor) -> tf.Tensor:
            return tf.minimum(tf.cast(count, tf.float32) / fade_steps, 1.0)

        def prepare(target: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
            """Photographs lose what the generator cannot make yet (Karras et al. 2018, figure 2)."""
            return alpha(count) * target + (1.0 - alpha(count)) * enlarge_twice(halve(target))

        return self._gan_step(
            self._trainable_generator(
                lambda lr, count: growth.generate_faded(lr, alpha(count)),
                self._adversarial_optimizer(steps, learning_rate),
                growth.to_rgb,
            ),
            TrainableNetwork(
                lambda images, count: growth.faded_logits(images, alpha(count)),
                [self.discriminator, growth.from_rgb],
                self._adversarial_optimizer(steps, learning_rate),
            ),
            prepare,
        )

    def _gan_step(
        self, generator: TrainableNetwork, discriminator: TrainableNetwork, prepare: NetworkCall
    ) -> TrainingStep:
        gan_step = GanStep(generator, discriminator, self.features, prepare, self.recipe.adversarial, self.seed)
        optimizers = {"generator_optimizer": generator.optimizer, "discriminator_optimizer": discriminator.optimizer}
        return self._step(adversarial_update(gan_step), optimizers)

    def _trainable_generator(
        self, call: NetworkCall, optimizer: keras.optimizers.Optimizer, *more: keras.Model
    ) -> TrainableNetwork:
        return TrainableNetwork(call, [self.generator, *more], optimizer, self.ema, self.recipe.ema_decay)

    def _adversarial_optimizer(self, steps: int, learning_rate: LearningRate) -> keras.optimizers.Optimizer:
        return self._optimizer(learning_rate, steps, self.recipe.adversarial.adam)

    def _optimizer(self, learning_rate: LearningRate, steps: int, adam: AdamParameters) -> keras.optimizers.Optimizer:
        return build_optimizer(learning_rate, steps, adam, scales_loss=self.precision == "float16")

    def _step(self, update: Update, optimizers: dict[str, keras.optimizers.Optimizer]) -> TrainingStep:
        compiled = self.devices.step_function(update)
        if self.devices.replicas == 1:
            return TrainingStep(compiled, optimizers)
        return TrainingStep(lambda hr, lr: compiled(self.devices.split(hr), self.devices.split(lr)), optimizers)

    def _enlarge(self, lr: tf.Tensor) -> tf.Tensor:
        return self.resulting_generator(lr, training=False)

    def _enlarge_by_half(self, lr: tf.Tensor) -> tf.Tensor:
        """What fading in begins with."""
        assert self.growth is not None
        return enlarge_twice(self.growth.half_generator(lr, training=False))


def _restore_optimizers(step: TrainingStep, checkpoint: Checkpoint) -> None:
    for name, optimizer in step.optimizers.items():
        for variable, value in zip(optimizer.variables, checkpoint.arrays[name], strict=True):
            variable.assign(value)


class _Stopwatch:
    """Where the time of the steps since the last report went."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._waited = 0.0
        self._steps = 0

    def next(self, batches: Iterator[CropPair]) -> CropPair:
        """Take the next batch, and the time that takes."""
        before = time.perf_counter()
        try:
            return next(batches)
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"the crops cannot be read any more ({reason}); make them again with kedro run "
                "--pipelines=materialize: the training then goes on from its newest checkpoint"
            ) from error
        finally:
            self._waited += time.perf_counter() - before
            self._steps += 1

    def read(self, batch_size: int) -> dict[str, float]:
        """Seconds a step, images a second, and the alpha of time spent waiting for input."""
        elapsed = time.perf_counter() - self._started
        return {
            "step_seconds": elapsed / self._steps,
            "images_per_second": batch_size * self._steps / elapsed,
            "input_wait": self._waited / elapsed,
        }


class _Loop:
    """Runs phases one after the other over the same stream of batches, reports, and writes checkpoints."""

    def __init__(
        self,
        trainer: Trainer,
        validation: Validation,
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
        self.best: list[NDArray[Any]] = []
        self.step = 0
        self._checkpoint_step = 0
        self._won_steps = 0

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put the networks back to where they were."""
        log.info("going on from the checkpoint of step %d in %s", checkpoint.step, checkpoint.phase)
        self.step = self._checkpoint_step = checkpoint.step
        self.history = checkpoint.history
        for name, model in self.trainer.networks.items():
            model.set_weights(checkpoint.arrays[name])
        if "srresnet" in checkpoint.arrays:
            self.generators["srresnet"] = self.trainer.generator_of(checkpoint.arrays["srresnet"])
        self.best = checkpoint.arrays.get("best", [])

    def run(self, phase: Phase, step_function: TrainingStep, batches: Iterator[CropPair], last: int) -> None:
        """Go on with ``phase`` up to global step ``last``."""
        window: list[dict[str, float]] = []
        watch = _Stopwatch()
        first = last - phase.steps
        # disable=None: a bar on a terminal, plain log lines elsewhere.
        with (
            logging_redirect_tqdm(),
            tqdm(total=phase.steps, initial=self.step - first, desc=phase.name, unit="step", disable=None) as bar,
        ):
            while self.step < last:
                losses = _run_step(step_function, watch.next(batches), phase.name)
                self.step += 1
                _check_finite(losses, phase.name, self.step)
                self._warn_of_a_discriminator_that_has_won(losses)
                window.append(losses)
                bar.update()
                if (self.step - first) % self.parameters.log_every == 0 or self.step == last:
                    timings = watch.read(self.trainer.recipe.batch_size)
                    row = self._report(phase, window, timings, self.step == last)
                    bar.set_postfix_str(f"{timings['images_per_second']:.1f} images/s, {_loss_text(row)}")
                    if bar.disable:
                        log.info(_progress_line(phase, row, self.step - first, timings))
                    self._save_if_due(phase, step_function, self.step == last)
                    window, watch = [], _Stopwatch()

    def _report(
        self, phase: Phase, window: list[dict[str, float]], timings: dict[str, float], last: bool
    ) -> dict[str, Any]:
        """Average the losses of the last steps, validate if due, and pass both on."""
        metrics = {name: float(np.mean([losses[name] for losses in window])) for name in window[-1]}
        metrics["learning_rate"] = window[-1]["learning_rate"]
        picture = None
        if last or self.step % self.parameters.validate_every == 0:
            measured, picture = self.validation.measure(phase.enlarge)
            self._keep_if_best(phase, measured)
            metrics |= measured
        self.history.append({"step": self.step, "phase": phase.name, **metrics})
        self.observe(metrics | timings, self.step, picture)
        return metrics

    def _keep_if_best(self, phase: Phase, measured: dict[str, float]) -> None:
        """Keep the generator's weights if none of this phase measured better before."""
        name, score = self.validation.criterion
        earlier = [row[name] for row in self.history if row["phase"] == phase.name and name in row]
        if phase.generator == "srgan" and all(score(measured[name]) > score(value) for value in earlier):
            self.best = self.trainer.resulting_generator.get_weights()

    def _warn_of_a_discriminator_that_has_won(self, losses: dict[str, float]) -> None:
        won = "discriminator_hr" in losses and losses["discriminator_loss"] < _WON_LOSS
        self._won_steps = self._won_steps + 1 if won else 0
        if self._won_steps == _WON_STEPS:
            log.warning(
                "the discriminator has won: its loss was below %g for %d steps up to step %d, so the generator learns "
                "little from it; a lower learning rate, a smaller discriminator (recipes.<name>.discriminator) or the "
                "objective 'wasserstein' may help",
                _WON_LOSS,
                _WON_STEPS,
                self.step,
            )

    def _save_if_due(self, phase: Phase, step_function: TrainingStep, last: bool) -> None:
        """Write a checkpoint where rows of losses end, so that no half row is lost with an interruption."""
        due = self.step - self._checkpoint_step >= self.parameters.checkpoint_every
        if self.checkpoints is None or not (due or last):
            return
        arrays = {name: model.get_weights() for name, model in (self.trainer.networks | self.generators).items()}
        for name, optimizer in step_function.optimizers.items():
            arrays[name] = [variable.numpy() for variable in optimizer.variables]
        if self.best:
            arrays["best"] = self.best
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
        # With loss scaling, gradients that overflow are part of the plan: their update is left out.
        if not np.isfinite(value) and not name.endswith("_gradient_norm"):
            raise UserError(
                f"{name} became {value} in {phase} at step {step}; a lower learning rate "
                f"(recipes.<name>.{phase}.learning_rate.initial) or train.precision=float32 may mend it"
            )


def _loss_text(metrics: dict[str, Any]) -> str:
    shown = [f"{name} {value:.4f}" for name, value in metrics.items() if name.endswith("_loss")]
    if "validation_psnr_y" in metrics:
        shown.append(f"validation {metrics['validation_psnr_y']:.2f} dB")
    if "validation_lpips" in metrics:
        shown.append(f"LPIPS {metrics['validation_lpips']:.4f}")
    return ", ".join(shown)


def _progress_line(phase: Phase, metrics: dict[str, Any], number: int, timings: dict[str, float]) -> str:
    remaining = tqdm.format_interval((phase.steps - number) * timings["step_seconds"])
    speed = f"{timings['images_per_second']:.1f} images/s"
    return f"{phase.name} {number}/{phase.steps}, {_loss_text(metrics)}, {speed}, {remaining} left"
