"""Measure folded generators against the plain Keras models, a small picture from the start, and a large one.

``python -m benchmarks.inference full`` measures one network; without a name, all of them.
"""

import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from benchmarks.training import matmul_peak
from sr_pipeline.datasets.keras_generators import load_keras_model
from sr_pipeline.inference.engines import Engine, choose_engine
from sr_pipeline.inference.folded_generator import FoldedGenerator
from sr_pipeline.inference.folding import fold
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters
from sr_pipeline.packaged import PACKAGED, packaged_file
from sr_pipeline.processor import computes_bfloat16, processor_kind, processor_name, usable_cores

EDGE = 128
ROUNDS = 9
PEAKS = {"float32": "float32 peak", "bfloat16": "bfloat16 peak"}
"""Of matrix multiplication, by precision."""
SMALL = (80, 100)


def measure_inference(names: Sequence[str] = ()) -> dict[str, Any]:
    """Figures of the full network (16 blocks, 64 filters) with random weights, and of this package's generators."""
    report = {"processor": processor_name(), "kind": processor_kind(), "cores": usable_cores()}
    return report | {name: _measure_network(_network(name)) for name in names or ["full", *PACKAGED]}


def _network(name: str) -> Any:
    return build_generator(GeneratorParameters()) if name == "full" else load_keras_model(packaged_file(name))


def _measure_network(model: Any) -> dict[str, Any]:
    """Figures of each engine for one generator.

    Each round measures the plain model in float32, all engines and the peaks of matrix multiplication, one after the
    other, so that other work on the machine affects all of them alike; the figures are medians over rounds. ``ratio``
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
        peak = PEAKS[engine.name.rpartition(" ")[2]]
        report[name] = {
            "seconds": statistics.median(measured[name] for measured in rounds),
            "ratio": statistics.median(measured[name] / measured["plain_keras"] for measured in rounds),
            "of_peak": statistics.median(gflop / measured[name] / measured[peak] for measured in rounds),
            "small_picture_s": _measure_small_picture(model, name),
            "12_megapixels": _measure_large_picture(generator, name),
        }
    return report


def _names() -> list[str]:
    """All engines that are installed, in precisions that the processor computes in."""
    installed = [package for package in ("onnxruntime", "openvino") if importlib.util.find_spec(package)]
    engines = ["float32"] + ["onnx"] * ("onnxruntime" in installed) + ["openvino"] * ("openvino" in installed)
    if computes_bfloat16():
        engines += ["bfloat16"] + ["openvino-bfloat16"] * ("openvino" in installed)
    return engines


def _enlarging(engine: Engine, lr: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: engine.enlarge(engine.features(lr), (slice(0, EDGE), slice(0, EDGE)))


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _measure_small_picture(model: Any, engine: str) -> float:
    """Seconds of the whole command for one picture of 80x100, the best of three."""
    with tempfile.TemporaryDirectory() as scratch:
        weights, picture = Path(scratch) / "generator.keras", Path(scratch) / "small.png"
        model.save(weights)
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SMALL, 3), np.uint8)).save(picture)
        program = [str(Path(sys.executable).with_name("sr-pipeline")), "upscale", str(picture), "--overwrite"]
        program += ["--model", str(weights), "--engine", engine]
        return min(_seconds(lambda: subprocess.run(program, capture_output=True, check=True)) for _ in range(3))


def _measure_large_picture(generator: FoldedGenerator, engine: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as scratch:
        weights = Path(scratch) / "generator.npz"
        generator.save(weights, "float32")
        program = [sys.executable, "-m", "benchmarks.large_picture", str(weights), engine]
        return json.loads(subprocess.run(program, capture_output=True, text=True, check=True).stdout)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_inference(sys.argv[1:]), indent=2) + "\n")
