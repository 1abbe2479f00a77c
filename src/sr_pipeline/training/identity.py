"""The identity of a training: what decides its result, in one hash."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib import metadata
from typing import Any

from sr_pipeline.code_identity import code_sha256
from sr_pipeline.hashing import file_sha256
from sr_pipeline.packaged import LPIPS_ALEX, VGG19, generator_file, weights_file
from sr_pipeline.training.recipes import Recipe, TrainParameters

COMPUTING = ("sr_pipeline.training.loop", "sr_pipeline.training.input")
"""Modules that, with all that they import, compute a training: its steps and its batches."""


@dataclass(frozen=True)
class TrainingInputs:
    """All that decides trained weights, except the code.

    Attributes:
        recipe: what to train.
        seed: of weights and order.
        precision: compute type.
        perceptual_weights: as for ``FeatureExtractor``; a weights file counts by its content.
        crops_sha256: hash of the crops of each split.
        device: the kind of processor or GPU, which add up in orders of their own.
        ended_at: step at which it was ended before its recipe would, where the rates until there depend on that recipe.
    """

    recipe: Recipe
    seed: int
    precision: str
    perceptual_weights: str
    crops_sha256: dict[str, str]
    device: str
    ended_at: int | None = None

    def after(self, step: int) -> "TrainingInputs":
        """Those of the training as it is if it ends after ``step`` steps in all.

        With a constant learning rate it is the training whose recipe has no more steps.
        """
        missing = self.recipe.total_steps - step
        if not missing:
            return self
        adversarial = self.recipe.adversarial
        if adversarial.learning_rate.decay != "constant":
            return replace(self, ended_at=step)
        shorter = adversarial.model_copy(update={"steps": adversarial.steps - missing})
        return replace(self, recipe=self.recipe.model_copy(update={"adversarial": shorter}))

    def content(self) -> dict[str, Any]:
        """As plain values."""
        recipe = self.recipe.model_dump(mode="json")
        pretraining = recipe["pretraining"]
        if pretraining:
            start, generator = pretraining.pop("start"), pretraining.pop("generator")
            if generator:  # takes the place of steps that would begin with `start`
                pretraining["generator_sha256"] = file_sha256(generator_file(generator))
            elif start:
                pretraining["start_sha256"] = file_sha256(generator_file(start))
        content = {**asdict(self), "recipe": recipe, "perceptual_weights": self._weights_content}
        if self.ended_at is None:
            del content["ended_at"]
        return content

    @cached_property
    def _weights_content(self) -> str:
        weights = self.perceptual_weights
        return weights if weights in ("imagenet", "untrained") else file_sha256(weights_file(weights, VGG19))


def training_id(inputs: TrainingInputs) -> str:
    """Equal ids mean equal trainings."""
    return _digest(inputs.content())


def checkpoint_id(inputs: TrainingInputs, parameters: TrainParameters, lpips_weights: str | None = None) -> str:
    """Equal ids mean that one training can go on from the other's checkpoints, if their ``code_id`` is equal as well.

    That takes the same rows of the history. The number of steps does not matter where the learning rate of the last
    phase does not depend on it: a finished training can be extended. Nor does the interpolation, which comes after all
    steps.
    """
    content = inputs.content()
    del content["recipe"]["adversarial"]["interpolation"]
    if inputs.recipe.adversarial.learning_rate.decay == "constant":
        del content["recipe"]["adversarial"]["steps"]
    content["reports"] = parameters.model_dump(include={"log_every", "validate_every", "validation_crops"})
    content["lpips_weights"] = lpips_weights and file_sha256(weights_file(lpips_weights, LPIPS_ALEX))
    return _digest(content)


def code_id() -> str:
    """Hash of the code and libraries that compute a training."""
    digest = hashlib.sha256(code_sha256(*COMPUTING).encode())
    for name in ("grain", "keras", "numpy", "tensorflow"):
        digest.update(f"{name} {metadata.version(name)}".encode())
    return digest.hexdigest()[:16]


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
