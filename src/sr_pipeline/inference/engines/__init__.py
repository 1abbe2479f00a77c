"""Engines that compute a generator, and the choice of the fastest one that is installed."""

import importlib.util
import platform
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.tiling import Window
from sr_pipeline.inference.folded_generator import FoldedGenerator
from sr_pipeline.processor import computes_bfloat16, processor_kind

EngineName = Literal["auto", "openvino", "openvino-bfloat16", "onnx", "tensorflow", "float32", "bfloat16"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
"""Names of engines; of TensorFlow's, ``tensorflow`` has the precision that suits the machine."""


class Engine(Protocol):
    """What computes a generator in two parts: see ``TensorFlowEngine``, ``OnnxEngine``, ``OpenVinoEngine``."""

    generator: FoldedGenerator
    name: str
    bytes_per_value: int

    def features(self, lr: NDArray[np.float32]) -> Any:
        """What the trunk makes of a picture (h, w, 3) in [0, 1]."""

    def enlarge(self, features: Any, window: Window) -> NDArray[np.float32]:
        """The picture (4h, 4w, 3) in [-1, 1] from a window of (h, w) features."""


def choose_engine(generator: FoldedGenerator, name: str = "auto") -> Engine:
    """The engine of that name, or the fastest.

    Args:
        generator: what it computes.
        name: one of ``ENGINES``; ``auto`` takes what ``fastest_engine`` names.

    Raises:
        UserError: if there is no such engine, its packages are not installed, or the processor does not compute in
            its precision.
    """
    if name not in ENGINES:
        raise UserError(f"there is no engine {name!r}; choose one of {', '.join(ENGINES)}")
    name = resolve_engine(name)
    if name == "onnx":
        from sr_pipeline.inference.engines.onnx_engine import OnnxEngine

        return OnnxEngine(generator)
    if name in ("openvino", "openvino-bfloat16"):
        from sr_pipeline.inference.engines.openvino_engine import OpenVinoEngine

        _refuse_emulation(name, computed=name == "openvino" or computes_bfloat16())
        return OpenVinoEngine(generator, "float32" if name == "openvino" else "bfloat16")
    best = _tensorflow_precision(name)
    from sr_pipeline.inference.engines.tensorflow_engine import TensorFlowEngine

    _refuse_emulation(name, computed=name in ("float32", best))
    return TensorFlowEngine(generator, name)


def resolve_engine(name: str) -> str:
    """The engine that ``auto`` or ``tensorflow`` means on this machine; any other name as it is.

    Raises:
        UserError: if it is TensorFlow's, and that is not installed.
    """
    name = fastest_engine() if name == "auto" else name
    return _tensorflow_precision(name) if name == "tensorflow" else name


def _tensorflow_precision(engine: str) -> str:
    """The precision that suits this machine."""
    if not _installed("tensorflow"):
        raise UserError(f'engine {engine} needs TensorFlow: pip install "sr-pipeline[pipeline]"')
    from sr_pipeline.networks.precision import resolve_precision

    return resolve_precision("auto")


def fastest_engine() -> str:
    """Name of the fastest engine that is installed.

    It depends on machine and installation alone, never on how much there is to do or on what is imported already: so
    a picture gives the same bytes alone and in a folder of hundreds.

    GPUs are left to TensorFlow, the only engine that uses them. On a processor it is what does well on small pictures
    and on large ones. OpenVINO takes 0.8 to 1.3 times as long as TensorFlow in the same precision, and starts 5 seconds
    earlier; it was measured on x86-64 alone. ONNX Runtime takes 2 to 4 times as long as TensorFlow in bfloat16, but
    starts 5 seconds earlier, in which it enlarges most of the pictures that people find too small. For hundreds of
    pictures on a processor that computes in bfloat16, install OpenVINO or name TensorFlow's engine.
    """
    if Path("/dev/nvidia0").exists() and _installed("tensorflow"):
        return "tensorflow"
    if platform.machine() in ("x86_64", "AMD64") and _installed("onnx", "openvino"):
        return "openvino-bfloat16" if computes_bfloat16() else "openvino"
    return "onnx" if _installed("onnx", "onnxruntime") else "tensorflow"


def _installed(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) for package in packages)


def _refuse_emulation(name: str, *, computed: bool) -> None:
    """Emulated bfloat16 is no faster than float32, less exact than in hardware, and some oneDNN operations lack it."""
    if not computed:
        raise UserError(
            f"engine {name} needs a processor or GPU that computes in bfloat16, and this is {processor_kind()}; "
            "choose auto, or one in float32"
        )
