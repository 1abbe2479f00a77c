"""A program: train the same recipe on one device and on two virtual ones, and compare. Used by test_devices."""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

from sr_pipeline.crops.shards import CropShards
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.training.devices import open_devices
from sr_pipeline.training.recipes import Recipe, TrainParameters
from sr_pipeline.training.setup import TrainingSetup
from sr_pipeline.training.state import begin
from tests.training.tiny import train_on_crops


def main(crops: CropShards, recipe: Recipe) -> None:
    """Print how far both trainings are apart: weights, by what they moved; losses and norms of first steps."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    results = {}
    for distribute in ("none", "mirrored"):
        devices = open_devices(distribute)
        with devices.strategy.scope():
            features = FeatureExtractor("untrained", recipe.adversarial.features)
        setup = TrainingSetup(recipe, features, crop_size=48, seed=3, devices=devices)
        results[distribute] = train_on_crops(crops, setup, parameters=TrainParameters(log_every=1))
        sys.stdout.write(f"{distribute} {devices.replicas}\n")
    one, two = results["none"], results["mirrored"]
    start = begin(TrainingSetup(recipe, features, crop_size=48, seed=3)).generator.get_weights()
    # Adam turns the rounding of a gradient near zero into a whole step, so the distance is taken over all weights.
    for name, model in one.generators.items():
        moved = distance(model.get_weights(), start)
        sys.stdout.write(f"weights {distance(model.get_weights(), two.generators[name].get_weights()) / moved}\n")
    phases = set()
    for a, b in zip(one.history, two.history, strict=True):
        if a["phase"] not in phases:
            phases.add(a["phase"])
            names = [name for name in a if name not in ("step", "phase")]
            worst = max(abs(a[name] - b[name]) / (abs(a[name]) + 1e-3) for name in names)
            sys.stdout.write(f"first_losses {worst}\n")


def distance(one: list[np.ndarray], other: list[np.ndarray]) -> float:
    """Euclidean distance over all weights."""
    return float(np.sqrt(sum(np.square(a - b).sum() for a, b in zip(one, other, strict=True))))


if __name__ == "__main__":
    main(CropShards(Path(sys.argv[1])), Recipe.model_validate_json(sys.argv[2]))
