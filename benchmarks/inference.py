"""Measure folded generators against the plain Keras models, and a large picture's time and memory."""

import importlib.util
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

from benchmarks.training import matmul_peak
from sr_pipeline.datasets.keras_generators import load_keras_model
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters
from sr_pipeline.packaged import PACKAGED, packaged_file
from sr_pipeline.serving.folding import FoldedGenerator, fold
from sr_pipeline.serving.upscaler import Engine, choose_engine
from sr_pipeline.training.precision import resolve_precision

EDGE = 128
ROUNDS = 9
PEAKS = {2: "bfloat16 peak", 4: "float32 peak"}
"""Of matrix multiplication, by bytes a value."""


def measure_inference() -> dict[str, Any]:
    """Figures of the full network (16 blocks, 64 filters) with random weights, and of this package's generators."""
    networks = {"full": build_generator(GeneratorParameters())}
    networks |= {name: load_keras_model(packaged_file(name)) for name in PACKAGED}
    return {name: _measure_network(model) for name, model in networks.items()}


def _measure_network(model: Any) -> dict[str, Any]:
    """Figures of each engine for one generator.

    Each round measures the plain model in float32, all engines and the peaks of matrix multiplication, one after the
    other, so that what else the machine does meets all of them alike; the figures are medians over rounds. ``ratio``
    is an engine's time to the plain model's; ``of_peak`` is what it makes of the peak in its precision, counting
    the multiplications of the folded network.
    """
    generator = fold(model)
    engines = {name: choose_engine(generator, name) for name in _names()}
    lr = np.random.default_rng(0).random((EDGE, EDGE, 3), np.float32)
    plain = tf.function(lambda images: model(images, training=False))
    actions = {"plain_keras": lambda: plain(lr[np.newaxis]).numpy()}
    actions |= {name: _enlarging(engine, lr) for name, engine in engines.items()}
    for action in actions.values():
        action()
    rounds = [
        {name: _seconds(action) for name, action in actions.items()}
        | {peak: matmul_peak(peak.split()[0], repeats=1) for peak in PEAKS.values()}
        for _ in range(ROUNDS)
    ]
    gflop = 2 * generator.macs * EDGE**2 / 1e9
    report: dict[str, Any] = {"plain_keras_s": statistics.median(measured["plain_keras"] for measured in rounds)}
    for name, engine in engines.items():
        peak = PEAKS[engine.bytes_per_value]
        report[name] = {
            "seconds": statistics.median(measured[name] for measured in rounds),
            "ratio": statistics.median(measured[name] / measured["plain_keras"] for measured in rounds),
            "of_peak": statistics.median(gflop / measured[name] / measured[peak] for measured in rounds),
            "12_megapixels": _measure_large_picture(generator, name),
        }
    return report


def _names() -> list[str]:
    precisions = {"float32", resolve_precision("auto")}
    return sorted(precisions) + ["onnx"] * all(map(importlib.util.find_spec, ("onnx", "onnxruntime")))


def _enlarging(engine: Engine, lr: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: engine.enlarge(engine.features(lr), (slice(0, EDGE), slice(0, EDGE)))


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _measure_large_picture(generator: FoldedGenerator, engine: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "generator.npz"
        generator.save(weights, "float32")
        program = [sys.executable, "-m", "benchmarks.large_picture", str(weights), engine]
        return json.loads(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_inference(), indent=2) + "\n")
