"""A training of seconds, for tests of its parts."""

from itertools import repeat
from typing import NamedTuple

import numpy as np

from sr_pipeline.training.input import CropPair, training_batches
from sr_pipeline.training.loop import train
from sr_pipeline.training.recipes import Recipe, TrainParameters
from sr_pipeline.training.setup import TrainingSetup
from sr_pipeline.training.state import TrainState, begin
from sr_pipeline.training.validation import Validation
from tests.conftest import SHALLOW

RECIPE = Recipe.model_validate(
    {
        "generator": {"filters": 8, "blocks": 1, "batch_normalization": False},
        "discriminator": {"filters": 4, "dense": 4},
        "batch_size": 2,
        "pretraining": {"steps": 4, "learning_rate": {"initial": 1e-3}},
        "adversarial": {"steps": 3, "feature_scale": 0.08, "weight": 1e-3, "features": SHALLOW},
    }
)
CRITIC = {"filters": 4, "dense": 4, "batch_normalization": False}


class Tiny(NamedTuple):
    """A training and its state."""

    setup: TrainingSetup
    state: TrainState


def variant(**changed):
    """RECIPE without pretraining, and with parts of another one."""
    recipe = RECIPE.model_dump() | {"pretraining": None} | changed
    recipe["adversarial"] = {"features": SHALLOW} | recipe["adversarial"]
    return Recipe.model_validate(recipe)


def tiny_training(recipe, features, precision="float32"):
    """A training at its start."""
    setup = TrainingSetup(recipe, features, crop_size=48, precision=precision, seed=3)
    return Tiny(setup, begin(setup))


def ignore(metrics, step, picture=None):
    """Observe nothing."""


def train_on(batch, tiny, observe=ignore):
    """Train on the same batch again and again."""
    validation = [CropPair(hr, lr) for hr, lr in zip(batch.hr, batch.lr, strict=True)]
    parameters = TrainParameters(log_every=2, validate_every=4)
    return train(*tiny, repeat(batch), Validation(validation), observe, parameters)


def train_on_crops(crops, setup, observe=ignore, parameters=None, checkpoints=None):
    """Train on shards, and go on from the newest checkpoint, as the pipeline does."""
    recipe = setup.recipe
    state = begin(setup, checkpoints.newest(recipe.total_steps) if checkpoints else None)
    batches = training_batches(crops, recipe.batch_size, augment=recipe.augment, seed=setup.seed, start=state.step)
    return train(setup, state, batches, Validation([CropPair(*crops[0])]), observe, parameters, checkpoints)


def changed(before, model):
    """Which arrays of weights differ from ``before``."""
    return [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
