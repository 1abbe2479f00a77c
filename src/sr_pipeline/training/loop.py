"""The loop: phases one after the other over one stream of batches, with reports, validations and checkpoints."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from sr_pipeline.errors import UserError
from sr_pipeline.training.checkpoint import Arrays, Checkpoints
from sr_pipeline.training.generators import float32_generator, interpolate
from sr_pipeline.training.input import CropPair
from sr_pipeline.training.phases import Phase, build_phases
from sr_pipeline.training.recipes import TrainParameters
from sr_pipeline.training.reports import DiscriminatorWatch, Observer, Stopwatch, loss_text, progress_line
from sr_pipeline.training.setup import TrainingSetup, TrainingStep
from sr_pipeline.training.state import TrainState
from sr_pipeline.training.validation import Validation

log = logging.getLogger(__name__)


@dataclass
class TrainingResult:
    """What a training leaves.

    Attributes:
        generators: float32 models, ``srgan`` and, when pretrained, ``srresnet``, as they were after their last step;
            with an interpolation, ``srgan`` between both.
        best: the ``srgan`` of the best validation, likewise.
        history: a row per ``log_every`` steps: phase, step, losses and, at times, validation metrics. No
            timings, so that equal trainings have equal histories.
    """

    generators: dict[str, keras.Model]
    best: keras.Model
    history: list[dict[str, Any]] = field(default_factory=list)


def train(
    setup: TrainingSetup,
    state: TrainState,
    batches: Iterator[CropPair],
    validation: Validation,
    observe: Observer,
    parameters: TrainParameters | None = None,
    checkpoints: Checkpoints | None = None,
) -> TrainingResult:
    """Run the phases of the recipe from where ``state`` is, and measure now and then.

    With checkpoints, a training that goes on from one is the same to the bit as without the interruption.

    Args:
        setup: the training.
        state: of ``begin``; changes.
        batches: uint8 batches, of which the first is number ``state.step`` of the training.
        validation: crops to measure on.
        observe: gets each report.
        parameters: how often to report, to measure and to save; those of the class unless given.
        checkpoints: where to save; none: nowhere.

    Raises:
        UserError: if a loss stops being a finite number, memory runs out, crops cannot be read any more, or a
            checkpoint cannot be written.
    """
    loop = _Loop(setup, state, validation, observe, parameters or TrainParameters(), checkpoints)
    first = 0
    with setup.devices.strategy.scope():
        for phase in build_phases(setup, state):
            last = first + phase.steps
            if state.step < last:
                step_function = phase.build_step()
                state.begin_phase(phase.name, step_function.optimizers)
                loop.run(phase, step_function, batches, last)
            if phase.generator and phase.generator not in state.kept:
                kept = _interpolated(setup, state, phase.generator, state.resulting_generator.get_weights())
                state.kept[phase.generator] = kept
                state.generator.set_weights(kept)  # the next phase goes on from what is kept
            first = last
    generators = {name: float32_generator(setup, weights) for name, weights in state.kept.items()}
    best = float32_generator(setup, _interpolated(setup, state, "srgan", state.best))
    return TrainingResult(generators, best, state.history)


def _interpolated(setup: TrainingSetup, state: TrainState, generator: str, weights: Arrays) -> Arrays:
    """Weights of that generator as they are kept."""
    if generator != "srgan" or setup.recipe.adversarial.interpolation == 1:
        return weights
    return interpolate(setup, state.kept["srresnet"], weights)


class _Loop:
    """Runs steps, reports, validates and writes checkpoints."""

    def __init__(
        self,
        setup: TrainingSetup,
        state: TrainState,
        validation: Validation,
        observe: Observer,
        parameters: TrainParameters,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.setup = setup
        self.state = state
        self.validation = validation
        self.observe = observe
        self.parameters = parameters
        self.checkpoints = checkpoints
        self._saved_step = state.step
        self._asked_to_end = False
        self._discriminator = DiscriminatorWatch()

    def run(self, phase: Phase, step_function: TrainingStep, batches: Iterator[CropPair], last: int) -> None:
        """Go on with ``phase`` up to global step ``last``."""
        state = self.state
        window: list[dict[str, float]] = []
        watch = Stopwatch()
        first = last - phase.steps
        # disable=None: a bar on a terminal, plain log lines elsewhere.
        with (
            logging_redirect_tqdm(),
            tqdm(total=phase.steps, initial=state.step - first, desc=phase.name, unit="step", disable=None) as bar,
        ):
            while state.step < last:
                losses = _run_step(step_function, watch.next(batches), phase.name)
                state.step += 1
                _check_finite(losses, phase.name, state.step)
                self._discriminator.see(losses, state.step)
                window.append(losses)
                bar.update()
                if self._is_row_due(state.step - first, last):
                    timings = watch.read(self.setup.recipe.batch_size)
                    row = self._report(phase, window, timings, state.step == last)
                    bar.set_postfix_str(f"{timings['images_per_second']:.1f} images/s, {loss_text(row)}")
                    if bar.disable:
                        log.info(progress_line((phase.name, phase.steps), state.step - first, row, timings))
                    self._save_if_due(state.step == last)
                    window, watch = [], Stopwatch()
                    if self._asked_to_end and phase.generator == "srgan" and state.step < last:
                        last = state.step + 1  # measured, saved and kept as the last of any training
                        log.info("asked to end: step %d is the last", last)

    def _is_row_due(self, step: int, last: int) -> bool:
        """Whether a row of losses ends here, at this step of the phase: also wherever a validation is due."""
        at_end = self.state.step == last
        return at_end or step % self.parameters.log_every == 0 or self._is_validation_due()

    def _is_validation_due(self) -> bool:
        return self.state.step % self.parameters.validate_every == 0

    def _report(
        self, phase: Phase, window: list[dict[str, float]], timings: dict[str, float], last: bool
    ) -> dict[str, Any]:
        """Average the losses of the last steps, validate if due, and pass both on."""
        step = self.state.step
        metrics = {name: float(np.mean([losses[name] for losses in window])) for name in window[-1]}
        metrics["learning_rate"] = window[-1]["learning_rate"]
        picture = None
        if last or self._is_validation_due():
            measured, picture = self.validation.measure(phase.enlarge)
            self._keep_if_best(phase, measured)
            metrics |= measured
        self.state.history.append({"step": step, "phase": phase.name, **metrics})
        self._asked_to_end = bool(self.observe(metrics | timings, step, picture))
        return metrics

    def _keep_if_best(self, phase: Phase, measured: dict[str, float]) -> None:
        """Keep the generator's weights if none of this phase measured better before."""
        name, score = self.validation.criterion
        earlier = [row[name] for row in self.state.history if row["phase"] == phase.name and name in row]
        if phase.generator == "srgan" and all(score(measured[name]) > score(value) for value in earlier):
            self.state.best = self.state.resulting_generator.get_weights()

    def _save_if_due(self, last: bool) -> None:
        """Write a checkpoint where rows of losses end, so that no half row is lost with an interruption."""
        due = self.state.step - self._saved_step >= self.parameters.checkpoint_every
        if self.checkpoints is not None and (due or last):
            self.checkpoints.save(self.state.checkpoint())
            self._saved_step = self.state.step


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
                f"(recipes.<name>.{phase}.learning_rate.initial) or train.precision=float32 may prevent it"
            )
