"""Nodes that train the generators of a recipe."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from PIL import Image

from sr_pipeline.imaging.resample import enlarge
from sr_pipeline.imaging.sheets import crop_grid, low_resolution_panel
from sr_pipeline.networks.parameters import SCALE, PerceptualParameters
from sr_pipeline.shards import CropShards
from sr_pipeline.tracking import log_training_progress, mark_finished, mark_unfinished, tag_run
from sr_pipeline.training.recipes import Recipe, TrainParameters

log = logging.getLogger(__name__)

CHECKPOINTS = Path("data/.scratch/checkpoints")


class Trained(NamedTuple):
    """Outputs of ``train_generators`` in the order of the pipeline's wiring."""

    generators: dict[str, Any]
    history: pd.DataFrame
    samples: Image.Image
    mlflow_run: dict[str, str]


def choose_recipe(recipe: str, recipes: dict[str, Any]) -> Recipe:
    """The parameters of the recipe of that name; all names were checked before the run."""
    return Recipe.model_validate(recipes[recipe])


def train_generators(
    crops_train: CropShards,
    crops_val: CropShards,
    recipe: Recipe,
    seed: int,
    parameters: TrainParameters,
    perceptual: PerceptualParameters,
) -> Trained:
    """Train by ``recipe`` and report to the MLflow run of this ``kedro run``, if there is one.

    Returns:
        The generators by name, the history of losses, a picture of validation crops, and, written last, what
        later stages find this training's MLflow run by.
    """
    # TensorFlow is loaded here, when something is really trained.
    from sr_pipeline.networks.features import FeatureExtractor
    from sr_pipeline.training.checkpoint import Checkpoints
    from sr_pipeline.training.identity import TrainingInputs, checkpoint_id, training_id
    from sr_pipeline.training.input import CropPair
    from sr_pipeline.training.precision import dtype_policy, resolve_precision
    from sr_pipeline.training.trainer import Trainer, super_resolve_crops

    precision = resolve_precision(parameters.precision)
    features = FeatureExtractor(perceptual.weights, dtype=dtype_policy(precision), seed=seed)
    if perceptual.weights == "untrained":
        log.warning(
            "the VGG19 features are untrained (random, seeded): the perceptual loss does not measure what "
            "the paper's does; set perceptual.weights to 'imagenet' or a weights file for that"
        )
    crops_sha256 = {"train": crops_train.sha256, "val": crops_val.sha256}
    inputs = TrainingInputs(recipe, seed, precision, perceptual.weights, crops_sha256)
    identity = training_id(inputs)
    checkpoints = Checkpoints(CHECKPOINTS / checkpoint_id(inputs, parameters), parameters.keep_checkpoints)
    if not parameters.resume:
        checkpoints.clear()
    tag_run({"training_id": identity, "precision": precision, "crops_sha256": crops_train.sha256})
    validation = [CropPair(*crops_val[i]) for i in _spread(len(crops_val), parameters.validation_crops)]
    log.info("training on %d crops in %s, training id %s", len(crops_train), precision, identity)
    trainer = Trainer(recipe, features, crop_size=crops_train.layout.crop_size, precision=precision, seed=seed)
    mark_unfinished()
    result = trainer.train(crops_train, validation, parameters, log_training_progress, checkpoints)
    mark_finished()

    shown = [validation[i] for i in _spread(len(validation), 4)]
    columns = {
        "LR": [low_resolution_panel(pair.lr, SCALE) for pair in shown],
        "bicubic": [enlarge(pair.lr, SCALE, "bicubic") for pair in shown],
        **{name: super_resolve_crops(model, shown) for name, model in result.generators.items()},
        "HR": [pair.hr for pair in shown],
    }
    return Trained(result.generators, pd.DataFrame(result.history), crop_grid(columns), {"training_id": identity})


def _spread(length: int, count: int) -> list[int]:
    """``count`` numbers below ``length``, evenly spread, so that crops of many images are among them."""
    count = min(count, length)
    return [i * length // count for i in range(count)]
