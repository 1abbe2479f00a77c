"""Measure the way of the data and the training steps, beside the machine's matrix multiplication peak.

Writes ``bench.json``: every figure with the peak measured in the same run, so that machines, and the noise
of one machine, can be told apart.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import yaml

from benchmarks.data import measure_data, read_crops_per_second
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.training.precision import dtype_policy, resolve_precision
from sr_pipeline.training.recipes import LearningRate, Recipe
from sr_pipeline.training.trainer import Trainer

CROP = 96
# Multiply-accumulates of a 96x96 patch in one step of recipe `seed`, forward passes in GMAC: generator 1.28 (three
# times with its backward pass), discriminator 0.87 (seven), VGG19 to block5_conv4 3.6 (three).
SEED_ADVERSARIAL_GMAC = 3 * 1.28 + 7 * 0.87 + 3 * 3.6


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


def main(output: Path) -> None:
    """Measure, print and write the JSON."""
    precision = resolve_precision("auto")
    peak = matmul_peak(precision)
    recipes = yaml.safe_load(Path("conf/base/parameters_recipes.yml").read_text())["recipes"]
    report: dict[str, Any] = {"precision": precision, "matmul_peak_gflops": peak}
    for name, figures in measure_data().items():
        report[name] = {**figures, "matmul_peak_gflops": peak}
    for name in ("sample", "seed"):
        report[name] = {**measure_steps(Recipe.model_validate(recipes[name]), precision), "matmul_peak_gflops": peak}
    flops = 2e9 * SEED_ADVERSARIAL_GMAC * Recipe().batch_size
    report["seed"]["adversarial_step_of_peak"] = flops / report["seed"]["adversarial_step_s"] / (peak * 1e9)
    crops_per_s = read_crops_per_second()
    consumed = Recipe.model_validate(recipes["sample"]).batch_size / report["sample"]["pretraining_step_s"]
    report["read"] = {"crops_per_s": crops_per_s, "of_sample_pretraining": crops_per_s / consumed}
    report["read"]["matmul_peak_gflops"] = peak
    text = json.dumps(report, indent=2)
    output.write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main(Path("bench.json"))
