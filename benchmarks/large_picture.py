"""A program: enlarge a picture to 12 megapixels in a new process, and report the time and memory it took."""

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np

from sr_pipeline.inference.engines import choose_engine
from sr_pipeline.inference.folded_generator import load_folded
from sr_pipeline.inference.upscaler import Upscaler

WIDTH, HEIGHT = 1000, 750


def peak_memory_gb() -> float:
    """Of this program alone: ``resource.getrusage`` includes what its parent had."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1e6


if __name__ == "__main__":
    weights, name = sys.argv[1:]
    library = "onnx" if name == "onnx" else "openvino" if name.startswith("openvino") else "tensorflow"
    importlib.import_module(
        f"sr_pipeline.inference.engines.{library}_engine"
    )  # which keep their libraries from reporting it
    imported_gb = peak_memory_gb()
    upscaler = Upscaler(choose_engine(load_folded(Path(weights)), name))
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    started = time.perf_counter()
    upscaler(image)
    seconds = time.perf_counter() - started
    sys.stdout.write(json.dumps({"seconds": seconds, "memory_over_import_gb": peak_memory_gb() - imported_gb}))
