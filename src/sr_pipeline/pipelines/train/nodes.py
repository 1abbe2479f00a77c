"""Nodes that train the generators of a recipe."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from PIL import Image

from sr_pipeline.crops.shards import CropShards
from sr_pipeline.imaging.sheets import evenly_spaced
from sr_pipeline.installation import TRAINING, require
from sr_pipeline.networks.parameters import LpipsParameters, PerceptualParameters
from sr_pipeline.networks.start import start_tensorflow
from sr_pipeline.tracking.messages import DataSet, log_data_sets, log_training_progress, tag_run
from sr_pipeline.tracking.run import mark_finished, mark_unfinished
from sr_pipeline.training.cluster import is_chief
from sr_pipeline.training.recipes import Recipe, TrainParameters
from sr_pipeline.training.reports import Observer

log = logging.getLogger(__name__)

CHECKPOINTS = Path("data/.scratch/checkpoints")

END = Path("data/.scratch/end_training")
"""A file that ends a training early, and keeps it, as soon as it is there."""


class Trained(NamedTuple):
    """Outputs of ``train_generators`` in the order of the pipeline's wiring."""

    generators: dict[str, Any]
    best_generator: dict[str, Any]
    history: pd.DataFrame
    samples: Image.Image
    mlflow_run: dict[str, Any]


def choose_recipe(recipe: str, recipes: dict[str, Any], perceptual: PerceptualParameters) -> Recipe:
    """The parameters of the recipe of that name; all names were checked before the run."""
    return Recipe.model_validate(recipes[recipe]).comparing(perceptual.layer)


def train_generators(
    crops_train: CropShards,
    crops_val: CropShards,
    recipe: Recipe,
    seed: int,
    parameters: TrainParameters,
    perceptual: PerceptualParameters,
    lpips: LpipsParameters,
) -> Trained:
    """Train by ``recipe`` and report to the MLflow run of this ``kedro run``, if there is one.

    Returns:
        The generators by name, the best one, the history of losses, a picture of validation crops, and, written
        last, what later stages find this training's MLflow run by, with all that decided the training.
    """
    require(*TRAINING)
    start_tensorflow()  # here, when something is really trained
    from sr_pipeline.networks.features import FeatureExtractor
    from sr_pipeline.networks.lpips import Lpips
    from sr_pipeline.networks.precision import dtype_policy, resolve_precision
    from sr_pipeline.training.checkpoint import Checkpoints
    from sr_pipeline.training.devices import open_devices
    from sr_pipeline.training.identity import TrainingInputs, checkpoint_id, code_id, training_id
    from sr_pipeline.training.input import CropPair, training_batches
    from sr_pipeline.training.loop import train
    from sr_pipeline.training.resume import choose_checkpoint
    from sr_pipeline.training.setup import TrainingSetup
    from sr_pipeline.training.state import begin
    from sr_pipeline.training.validation import Validation, picture_of, super_resolve_crops

    precision = resolve_precision(parameters.precision)
    crops_sha256 = {"train": crops_train.sha256, "val": crops_val.sha256}
    devices = open_devices(parameters.distribute)
    inputs = TrainingInputs(recipe, seed, precision, perceptual.weights, crops_sha256, devices.kind)
    identity = training_id(inputs)
    resumable, code = checkpoint_id(inputs, parameters, lpips.weights), code_id()
    folder = CHECKPOINTS / resumable / code
    checkpoints = Checkpoints(folder, parameters.keep_checkpoints, writes=is_chief(parameters.distribute))
    with checkpoints.alone():
        checkpoint = choose_checkpoint(checkpoints, parameters.resume, recipe.total_steps)
        resumed_from = checkpoint and f"{resumable} step {checkpoint.step}{checkpoint.origin(code)}"
        with devices.strategy.scope():
            layers = recipe.adversarial.features
            features = FeatureExtractor(perceptual.weights, layers, dtype=dtype_policy(precision), seed=seed)
        if perceptual.weights == "untrained":
            log.warning(
                "the VGG19 features are untrained (random, seeded): the perceptual loss does not measure what "
                "the paper's does; set perceptual.weights to 'packaged', 'imagenet' or a weights file for that"
            )
        tag_run(
            {
                "training_id": identity,
                "precision": precision,
                "crops_sha256": crops_train.sha256,
                "device": devices.describe(),
                **({"resumed_from": resumed_from} if resumed_from else {}),
            }
        )
        log_data_sets(
            [
                DataSet("crops train", crops_train.sha256, "data/05_model_input/crops/train", "training"),
                DataSet("crops val", crops_val.sha256, "data/05_model_input/crops/val", "validation"),
            ]
        )
        pairs = [CropPair(*crops_val[i]) for i in evenly_spaced(len(crops_val), parameters.validation_crops)]
        validation = Validation(pairs, Lpips(lpips.weights) if lpips.weights else None)
        log.info("training on %d crops in %s, training id %s", len(crops_train), precision, identity)
        setup = TrainingSetup(recipe, features, crops_train.layout.crop_size, precision, seed, devices)
        state = begin(setup, checkpoint, code)
        batches = training_batches(crops_train, recipe.batch_size, augment=recipe.augment, seed=seed, start=state.step)
        mark_unfinished()
        result = train(setup, state, batches, validation, _observer(parameters.distribute), parameters, checkpoints)
        mark_finished()
    inputs = inputs.after(state.step)
    tag_run({"training_id": training_id(inputs), **_ended_early(state.step, recipe)})

    shown = [pairs[i] for i in evenly_spaced(len(pairs), 4)]
    samples = picture_of(shown, {name: super_resolve_crops(model, shown) for name, model in result.generators.items()})
    history = pd.DataFrame(result.history)
    run = {"training_id": training_id(inputs), "training": inputs.content()}
    return Trained(result.generators, {"srgan": result.best}, history, samples, run)


def _observer(distribute: str) -> Observer:
    """Reports to MLflow, and ends the training once ``END`` is there."""
    END.unlink(missing_ok=True)  # of an earlier one
    together = distribute == "multi_worker"  # several machines would see the file at different steps

    def observe(metrics: dict[str, float], step: int, picture: Image.Image | None = None) -> bool:
        log_training_progress(metrics, step, picture)
        return not together and END.exists()

    return observe


def _ended_early(step: int, recipe: Recipe) -> dict[str, str]:
    """A tag for the run of a training that was ended early."""
    if step == recipe.total_steps:
        return {}
    END.unlink(missing_ok=True)
    return {"ended_at_step": str(step)}
