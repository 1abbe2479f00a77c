"""The identity of a training: what decides its result, in one hash."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from sr_pipeline.code_identity import code_sha256
from sr_pipeline.packaged import LPIPS_ALEX, VGG19, generator_file, packaged_weights
from sr_pipeline.training.recipes import Recipe, TrainParameters


@dataclass(frozen=True)
class TrainingInputs:
    """All that decides trained weights, but the code.

    Attributes:
        recipe: what to train.
        seed: of weights and order.
        precision: compute type.
        perceptual_weights: as of ``FeatureExtractor``; a weights file counts by its content.
        crops_sha256: hash of the crops of each split.
        device: the kind of processor or GPU, which add up in orders of their own.
    """

    recipe: Recipe
    seed: int
    precision: str
    perceptual_weights: str
    crops_sha256: dict[str, str]
    device: str

    def content(self) -> dict[str, Any]:
        """As plain values."""
        recipe = self.recipe.model_dump(mode="json")
        if recipe["pretraining"]:
            for field in ("generator", "start"):
                named = recipe["pretraining"].pop(field)
                if named:
                    recipe["pretraining"][f"{field}_sha256"] = _file_digest(generator_file(named))
        return {**asdict(self), "recipe": recipe, "perceptual_weights": self._weights_content}

    @cached_property
    def _weights_content(self) -> str:
        weights = self.perceptual_weights
        if weights == "packaged":
            return _file_digest(packaged_weights(VGG19))
        return weights if weights in ("imagenet", "untrained") else _file_digest(weights)


def training_id(inputs: TrainingInputs) -> str:
    """Equal ids mean equal trainings."""
    return _digest(inputs.content())


def checkpoint_id(inputs: TrainingInputs, parameters: TrainParameters, lpips_weights: str | None = None) -> str:
    """Equal ids mean that one training can go on from the other's checkpoints.

    That takes the same code and libraries, and the same rows of the history. The number of steps does not matter
    where the learning rate of the last phase does not depend on it: a finished training can be extended. Nor does the
    interpolation, which comes after all steps.
    """
    content = inputs.content()
    del content["recipe"]["adversarial"]["interpolation"]
    if inputs.recipe.adversarial.learning_rate.decay == "constant":
        del content["recipe"]["adversarial"]["steps"]
    content["reports"] = parameters.model_dump(include={"log_every", "validate_every", "validation_crops"})
    lpips_file = packaged_weights(LPIPS_ALEX) if lpips_weights == "packaged" else lpips_weights
    content["lpips_weights"] = lpips_file and _file_digest(lpips_file)
    content["code"] = _code_digest()
    return _digest(content)


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _file_digest(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _code_digest() -> str:
    digest = hashlib.sha256()
    digest.update(code_sha256("sr_pipeline.training.trainer").encode())
    for name in ("grain", "keras", "numpy", "tensorflow"):
        digest.update(f"{name} {metadata.version(name)}".encode())
    return digest.hexdigest()
