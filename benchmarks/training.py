"""Measure the training steps, the matrix multiplication peak they are compared to, and what the input delivers."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import yaml

from benchmarks.data import plan_shards, write_jpegs
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.shards import CropLayout, CropShards
from sr_pipeline.training.input import training_batches
from sr_pipeline.training.precision import dtype_policy, resolve_precision
from sr_pipeline.training.recipes import LearningRate, Recipe
from sr_pipeline.training.trainer import Trainer

CROP = 96
# Multiply-accumulates of a 96x96 patch in one step of recipe `seed`, forward passes in GMAC: generator 1.28 (three
# times with its backward pass), discriminator 0.87 (seven), VGG19 to block5_conv4 3.6 (three).
SEED_ADVERSARIAL_GMAC = 3 * 1.28 + 7 * 0.87 + 3 * 3.6


def measure_training() -> dict[str, Any]:
    """Figures of the recipes ``sample`` and ``seed`` on random crops, and of reading real ones."""
    precision = resolve_precision("auto")
    peak = matmul_peak(precision)
    described = yaml.safe_load(Path("conf/base/parameters_recipes.yml").read_text())["recipes"]
    recipes = {name: Recipe.model_validate(described[name]) for name in ("sample", "seed")}
    report: dict[str, Any] = {name: measure_steps(recipe, precision) for name, recipe in recipes.items()}
    flops = 2e9 * SEED_ADVERSARIAL_GMAC * recipes["seed"].batch_size
    report["seed"]["adversarial_step_of_peak"] = flops / report["seed"]["adversarial_step_s"] / (peak * 1e9)
    crops_per_s = read_crops_per_second()
    consumed = recipes["sample"].batch_size / report["sample"]["pretraining_step_s"]
    report["read"] = {"crops_per_s": crops_per_s, "of_sample_pretraining": crops_per_s / consumed}
    return {"precision": precision, "matmul_peak_gflops": peak, **report}


def median_seconds(action: Callable[[], Any], repeats: int) -> float:
    """Median duration of ``action`` after two calls that trace and warm up."""
    for _ in range(2):
        action()
    durations = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        durations.append(time.perf_counter() - started)
    return statistics.median(durations)


def matmul_peak(dtype: str, size: int = 4096) -> float:
    """GFLOP/s of multiplying two square matrices."""
    matrix = tf.cast(tf.random.normal((size, size)), dtype)
    multiply = tf.function(tf.matmul)
    return 2 * size**3 / median_seconds(lambda: multiply(matrix, matrix)[0, 0].numpy(), 3) / 1e9


def measure_steps(recipe: Recipe, precision: str) -> dict[str, float]:
    """Seconds of one pretraining and one adversarial step of ``recipe`` on random crops."""
    features = FeatureExtractor("untrained", dtype=dtype_policy(precision))
    trainer = Trainer(recipe, features, crop_size=CROP, precision=precision, seed=0)
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (recipe.batch_size, CROP, CROP, 3), np.uint8)
    lr = rng.integers(0, 256, (recipe.batch_size, CROP // 4, CROP // 4, 3), np.uint8)
    pretraining = trainer.pretraining_step(1000, LearningRate())
    adversarial = trainer.adversarial_step(1000, LearningRate())
    return {
        "pretraining_step_s": median_seconds(lambda: pretraining(hr, lr)["pixel_loss"].numpy(), 5),
        "adversarial_step_s": median_seconds(lambda: adversarial(hr, lr)["generator_loss"].numpy(), 3),
    }


def read_crops_per_second(count: int = 20_000) -> float:
    """Crops a second that the training's input delivers, batched and augmented, from shards on disk."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        layout = CropLayout(seed=0, crop_size=CROP, crops_per_image=40, scale=4)
        plan_shards(write_jpegs(folder / "jpegs"), 60, layout).write(folder / "crops")
        batches = training_batches(CropShards(folder / "crops"), 16, augment=True, seed=0)
        for _ in range(20):
            next(batches)
        started = time.perf_counter()
        for _ in range(count // 16):
            next(batches)
        return count / (time.perf_counter() - started)
