"""Measure the training steps, the matrix multiplication peak to compare them with, and the input's throughput."""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import yaml

from benchmarks.data import plan_shards, write_jpegs
from sr_pipeline.crops.layout import CropLayout
from sr_pipeline.crops.shards import CropShards
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.networks.precision import dtype_policy, resolve_precision
from sr_pipeline.tracking import messages, store
from sr_pipeline.training.checkpoint import Checkpoints
from sr_pipeline.training.input import CropPair, training_batches
from sr_pipeline.training.loop import train
from sr_pipeline.training.phases import adversarial_step, pretraining_step
from sr_pipeline.training.recipes import LearningRate, Recipe
from sr_pipeline.training.setup import TrainingSetup
from sr_pipeline.training.state import begin
from sr_pipeline.training.validation import Validation

CROP = 96
# Multiply-accumulates of a 96x96 patch in one step of recipe `seed`, forward passes in GMAC: generator 1.28 (three
# times with its backward pass), discriminator 0.87 (seven), VGG19 to block5_conv4 3.6 (three).
SEED_GMAC = {"pretraining": 3 * 1.28, "adversarial": 3 * 1.28 + 7 * 0.87 + 3 * 3.6}


def measure_training() -> dict[str, Any]:
    """Figures of the recipes ``sample`` and ``seed`` on random crops, and of reading real ones."""
    precision = resolve_precision("auto")
    peaks = [matmul_peak(precision)]
    described = yaml.safe_load(Path("conf/base/parameters_recipes.yml").read_text())["recipes"]
    recipes = {name: Recipe.model_validate(described[name]) for name in ("sample", "seed")}
    report: dict[str, Any] = {"first_step": measure_first_step()}
    report |= {name: measure_steps(recipe, precision) for name, recipe in recipes.items()}
    peaks.append(matmul_peak(precision))
    peak = max(peaks)
    for phase, gmac in SEED_GMAC.items():
        gflops = 2 * gmac * recipes["seed"].batch_size / report["seed"][f"{phase}_step_s"]
        report["seed"][f"{phase}_step_of_peak"] = gflops / peak
    crops_per_s = read_crops_per_second()
    consumed = recipes["sample"].batch_size / report["sample"]["pretraining_step_s"]
    report["read"] = {"crops_per_s": crops_per_s, "of_sample_pretraining": crops_per_s / consumed}
    report["sample_training"] = measure_overhead(recipes["sample"], precision)
    return {"precision": precision, "matmul_peak_gflops": peak, **report}


def measure_first_step() -> dict[str, float]:
    """Seconds from the start of a process to the end of its first step of recipe ``seed``, and its peak memory."""
    started = time.perf_counter()
    program = subprocess.run(
        [sys.executable, "-m", "benchmarks.first_step"], capture_output=True, text=True, check=True
    )
    return {"first_step_s": time.perf_counter() - started, **json.loads(program.stdout)}


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


def matmul_peak(dtype: str, size: int = 4096, repeats: int = 7) -> float:
    """GFLOP/s of multiplying two square matrices, the best of several."""
    matrix = tf.cast(tf.random.normal((size, size)), dtype)
    multiply = tf.function(tf.matmul)
    durations = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        multiply(matrix, matrix)[0, 0].numpy()
        durations.append(time.perf_counter() - started)
    return 2 * size**3 / min(durations[2:]) / 1e9


def measure_steps(recipe: Recipe, precision: str) -> dict[str, float]:
    """Seconds of one pretraining and one adversarial step of ``recipe`` on random crops."""
    features = FeatureExtractor("untrained", dtype=dtype_policy(precision))
    setup = TrainingSetup(recipe, features, crop_size=CROP, precision=precision)
    state = begin(setup)
    rng = np.random.default_rng(0)
    hr = rng.integers(0, 256, (recipe.batch_size, CROP, CROP, 3), np.uint8)
    lr = rng.integers(0, 256, (recipe.batch_size, CROP // 4, CROP // 4, 3), np.uint8)
    pretraining = pretraining_step(setup, state, 1000, LearningRate())
    adversarial = adversarial_step(setup, state, 1000, LearningRate())
    return {
        "pretraining_step_s": median_seconds(lambda: pretraining(hr, lr)["pixel_loss"].numpy(), 5),
        "adversarial_step_s": median_seconds(lambda: adversarial(hr, lr)["generator_loss"].numpy(), 3),
    }


def read_crops_per_second(count: int = 20_000) -> float:
    """Crops per second that the training's input delivers, batched and augmented, from shards on disk."""
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


def measure_overhead(recipe: Recipe, precision: str, steps: int = 1050) -> dict[str, float]:
    """Fractions of time not spent on steps, in a training with MLflow, checkpoints and pictures at default intervals.

    The recipe ``sample`` has the shortest steps, so its fractions are the largest.

    Returns:
        ``overhead``: share of reports, validations, pictures and checkpoints; ``input_wait``: of waiting for crops.
    """
    short = recipe.model_copy(update={"pretraining": recipe.pretraining.model_copy(update={"steps": steps})})
    short = short.model_copy(update={"adversarial": recipe.adversarial.model_copy(update={"steps": 1})})
    reports: list[tuple[float, int, dict[str, float]]] = []

    def observe(metrics: dict[str, float], step: int, picture: Any = None) -> None:
        reports.append((time.perf_counter(), step, metrics))
        messages.log_training_progress(metrics, step, picture)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        layout = CropLayout(seed=0, crop_size=CROP, crops_per_image=20, scale=4)
        plan_shards(write_jpegs(folder / "jpegs"), 60, layout).write(folder / "crops")
        crops = CropShards(folder / "crops")
        mlflow = store.set_up_store(folder)
        features = FeatureExtractor("untrained", dtype=dtype_policy(precision))
        setup = TrainingSetup(short, features, crop_size=CROP, precision=precision)
        batches = training_batches(crops, short.batch_size, augment=short.augment, seed=0)
        validation = Validation([CropPair(*crops[i]) for i in range(16)])
        with mlflow.start_run(log_system_metrics=True):
            checkpoints = Checkpoints(folder / "checkpoints", 2)
            train(setup, begin(setup), batches, validation, observe, checkpoints=checkpoints)
    reports = [report for report in reports if report[1] <= steps]
    elapsed = reports[-1][0] - reports[0][0]
    counts = [later[1] - earlier[1] for earlier, later in itertools.pairwise(reports)]
    stepping = [count * report[2]["step_seconds"] for count, report in zip(counts, reports[1:], strict=True)]
    waiting = [seconds * report[2]["input_wait"] for seconds, report in zip(stepping, reports[1:], strict=True)]
    return {"overhead": 1 - sum(stepping) / elapsed, "input_wait": sum(waiting) / sum(stepping)}
