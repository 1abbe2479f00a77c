"""The state of a training: all that its steps change, which checkpoints save whole."""

import logging
from dataclasses import dataclass, field
from typing import Any

import keras

from sr_pipeline.errors import UserError
from sr_pipeline.networks.discriminator import build_discriminator
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.precision import dtype_policy
from sr_pipeline.networks.progressive import Growth
from sr_pipeline.training.checkpoint import Arrays, Checkpoint
from sr_pipeline.training.generators import pretrained_weights
from sr_pipeline.training.setup import TrainingSetup

log = logging.getLogger(__name__)


@dataclass
class TrainState:
    """Where a training is.

    Attributes:
        networks: all that has weights: ``generator``, ``discriminator``, with a moving average ``ema``, with growth
            ``to_rgb`` and ``from_rgb``.
        growth: the half-size views of generator and discriminator, which hold no weights besides.
        optimizers: of the present phase, by the networks that they train.
        phase: the present one.
        step: steps made so far, counted over all phases.
        history: rows reported so far.
        best: weights of the final phase's generator at its best validation.
        kept: weights of the generators that finished phases leave, by their names.
        codes: hashes of the code and libraries that computed it, in their order.
    """

    networks: dict[str, keras.Model]
    growth: Growth | None = None
    optimizers: dict[str, keras.optimizers.Optimizer] = field(default_factory=dict)
    phase: str = ""
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: Arrays = field(default_factory=list)
    kept: dict[str, Arrays] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)
    _restored_optimizers: dict[str, Arrays] = field(default_factory=dict)

    @property
    def generator(self) -> keras.Model:
        """The generator that learns."""
        return self.networks["generator"]

    @property
    def discriminator(self) -> keras.Model:
        """The discriminator."""
        return self.networks["discriminator"]

    @property
    def ema(self) -> keras.Model | None:
        """The moving average of the generator, if the recipe has one."""
        return self.networks.get("ema")

    @property
    def resulting_generator(self) -> keras.Model:
        """The generator to measure and keep: the moving average, if there is one."""
        return self.ema or self.generator

    def begin_phase(self, name: str, optimizers: dict[str, keras.optimizers.Optimizer]) -> None:
        """Enter a phase at its start, or where a checkpoint of it was restored.

        Raises:
            UserError: if the checkpoint is of other optimizers.
        """
        self.optimizers = optimizers
        if self._restored_optimizers and name == self.phase:
            try:
                for network, optimizer in optimizers.items():
                    for variable, value in zip(optimizer.variables, self._restored_optimizers[network], strict=True):
                        variable.assign(value)
            except (KeyError, ValueError) as error:
                raise _does_not_fit(self.step) from error
        elif self.ema:
            self.ema.set_weights(self.generator.get_weights())
        self._restored_optimizers = {}
        self.phase = name

    def checkpoint(self) -> Checkpoint:
        """All of it, as a checkpoint holds it."""
        return Checkpoint(self.step, self.phase, self.arrays(), self.history, self.codes)

    def arrays(self) -> dict[str, Arrays]:
        """Weights and optimizer variables by what they belong to."""
        arrays = {f"networks/{name}": model.get_weights() for name, model in self.networks.items()}
        for name, optimizer in self.optimizers.items():
            arrays[f"optimizers/{name}"] = [variable.numpy() for variable in optimizer.variables]
        arrays |= {f"kept/{name}": weights for name, weights in self.kept.items()}
        return arrays | ({"best": self.best} if self.best else {})

    def restore(self, checkpoint: Checkpoint) -> None:
        """Put everything back to where it was; the optimizers when their phase begins.

        Raises:
            UserError: if the checkpoint is of other networks, as other code may have built them.
        """
        try:
            for name, model in self.networks.items():
                model.set_weights(checkpoint.arrays[f"networks/{name}"])
        except (KeyError, ValueError) as error:
            raise _does_not_fit(checkpoint.step) from error
        self.step, self.phase = checkpoint.step, checkpoint.phase
        self.history, self.codes = list(checkpoint.history), list(checkpoint.codes)
        self.best = checkpoint.arrays.get("best", [])
        self.kept = _below(checkpoint.arrays, "kept/")
        self._restored_optimizers = _below(checkpoint.arrays, "optimizers/")


def begin(setup: TrainingSetup, checkpoint: Checkpoint | None = None, code: str = "") -> TrainState:
    """The state in which a training begins, or goes on from a checkpoint.

    Args:
        setup: the training.
        checkpoint: to go on from; none: from the start, which may be a pretrained generator.
        code: hash of the present code and libraries, for checkpoints to name.

    Raises:
        UserError: if the checkpoint, or the file of a pretrained generator, is of other networks.
    """
    pretraining = setup.recipe.pretraining
    with setup.devices.strategy.scope():
        state = _build(setup)
        if checkpoint:
            step, phase, origin = checkpoint.step, checkpoint.phase, checkpoint.origin(code)
            log.info("going on from the checkpoint of step %d in %s%s", step, phase, origin)
            state.restore(checkpoint)
        elif pretraining and pretraining.given:
            weights = pretrained_weights(setup, state.generator.get_weights(), pretraining.given)
            for network in filter(None, (state.generator, state.ema)):
                network.set_weights(weights)
            state.step = pretraining.steps if pretraining.generator else 0
    if code not in state.codes:
        state.codes.append(code)
    return state


def _build(setup: TrainingSetup) -> TrainState:
    recipe, seed, policy = setup.recipe, setup.seed, dtype_policy(setup.precision)
    size = setup.crop_size - recipe.adversarial.shift
    generator = build_generator(recipe.generator, dtype=policy, seed=seed, for_training=True)
    discriminator = build_discriminator(recipe.discriminator, size, dtype=policy, seed=seed + 1)
    networks = {"generator": generator, "discriminator": discriminator}
    growth = None
    if recipe.growth:
        parameters = (recipe.generator, recipe.discriminator)
        growth = Growth(generator, discriminator, parameters, dtype=policy, seed=seed + 2)
        networks |= {"to_rgb": growth.to_rgb, "from_rgb": growth.from_rgb}
    if recipe.ema_decay:
        networks["ema"] = build_generator(recipe.generator, dtype=policy, seed=seed, for_training=True)
    return TrainState(networks, growth)


def _does_not_fit(step: int) -> UserError:
    return UserError(
        f"the checkpoint of step {step} does not fit the networks or optimizers of the present code; "
        "train.resume=false starts over"
    )


def _below(arrays: dict[str, Arrays], prefix: str) -> dict[str, Arrays]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
