"""OpenVINO, which computes a folded generator in float32 or bfloat16 and without TensorFlow.

It is about as fast as TensorFlow in both, and ready as early as ONNX Runtime: see ``docs/upscale.md``.
"""

import sys
from threading import Lock
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.tiling import Window
from sr_pipeline.inference.engines.onnx_graph import onnx_model
from sr_pipeline.inference.folded_generator import FoldedGenerator, rounded_to_bfloat16


def _import_openvino() -> ModuleType:
    """OpenVINO, without the package by which its import reports to its maker; that may be missing, so it is hidden."""
    reporter = sys.modules.pop("openvino_telemetry", None)
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise UserError(f'OpenVINO is missing ({error}): pip install "sr-pipeline[openvino]"') from error
    finally:
        del sys.modules["openvino_telemetry"]
        if reporter:
            sys.modules["openvino_telemetry"] = reporter
    return openvino


openvino = _import_openvino()

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenVinoEngine:
    """Computes a generator's two parts with OpenVINO, on the processor.

    In bfloat16 the first convolution stays in float32, or colours shift by half a level of 8 bits; so does what
    enlarges without upsampling blocks, which has the fewer multiplications.

    Args:
        generator: the folded generator.
        precision: ``float32`` or ``bfloat16``; what goes in and comes out is float32 in any case.
    """

    def __init__(self, generator: FoldedGenerator, precision: str) -> None:
        self.generator = generator
        self.name = f"OpenVINO, {precision}"
        self.bytes_per_value = 4  # of what goes from part to part
        if precision == "float32":
            parts = [("lr", "features", "float32"), ("features", "sr", "float32")]
        else:
            generator = rounded_to_bfloat16(generator)
            enlarging = "bfloat16" if generator.upsampling_blocks else "float32"
            parts = [("lr", "head", "float32"), ("head", "features", "bfloat16"), ("features", "sr", enlarging)]
        *self._trunk, self._enlarge = (_Part(generator, *part) for part in parts)

    def features(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the trunk makes of a picture (h, w, 3) in [0, 1]: (1, channels, h, w)."""
        x = lr[np.newaxis]
        for part in self._trunk:
            x = part(x)
        return x

    def enlarge(self, features: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
        """The picture (4h, 4w, 3) in [-1, 1] from a window of (h, w) features; the caller may change the array."""
        return self._enlarge(features[:, :, *window])[0]


class _Part:
    """A part of the network, for pictures of all sizes; threads take turns, because each computes on all cores."""

    def __init__(self, generator: FoldedGenerator, source: str, target: str, precision: str) -> None:
        core = openvino.Core()
        model = core.read_model(onnx_model(generator, source, target).SerializeToString())
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],  # else bfloat16 wherever the processor has it
            "PERFORMANCE_HINT": "LATENCY",  # all cores for one picture
            "ENABLE_CPU_PINNING": False,  # or two programs would share a core while others idle
        }
        self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        self._lock = Lock()

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._lock:
            return self._request.infer([np.ascontiguousarray(x)], share_inputs=True)[0]
