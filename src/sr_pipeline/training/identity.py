"""The identity of a training: what decides its result, in one hash."""

import hashlib
import json
from pathlib import Path
from typing import Any

from sr_pipeline.training.recipes import Recipe


def training_id(
    recipe: Recipe, *, seed: int, precision: str, perceptual_weights: str, crops_sha256: dict[str, str]
) -> str:
    """Hash all that decides the trained weights: equal ids mean equal trainings.

    A weights file counts by its content, not its path.
    """
    weights = perceptual_weights
    if weights not in ("imagenet", "untrained"):
        with Path(weights).open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
    content: dict[str, Any] = {
        "recipe": recipe.model_dump(mode="json"),
        "seed": seed,
        "precision": precision,
        "perceptual_weights": weights,
        "crops_sha256": crops_sha256,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
