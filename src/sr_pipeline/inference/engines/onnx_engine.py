"""ONNX Runtime, which computes a folded generator in float32 and without TensorFlow.

ONNX Runtime is ready 0.2 s after a program starts, TensorFlow after 4 s; ``docs/upscale.md`` compares the engines. It
has no convolutions in bfloat16 for processors.
"""

import os

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.tiling import Window
from sr_pipeline.inference.engines.onnx_graph import onnx_model
from sr_pipeline.inference.folded_generator import FoldedGenerator

# Its official builds report to their maker on which machine they run, unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
try:
    import onnxruntime
except ImportError as error:
    raise UserError(f"ONNX needs more packages ({error}); install them with pip install sr-pipeline") from error


class OnnxEngine:
    """Computes a generator's two parts with ONNX Runtime.

    Args:
        generator: the folded generator.
    """

    name = "ONNX Runtime, float32"
    bytes_per_value = 4

    def __init__(self, generator: FoldedGenerator) -> None:
        self.generator = generator
        options = onnxruntime.SessionOptions()
        options.enable_mem_pattern = False  # not faster without, and 1.9 GB instead of 1.0 with it, for 12 megapixels
        self._features, self._enlarge = (
            onnxruntime.InferenceSession(
                onnx_model(generator, *ends).SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            for ends in (("lr", "features"), ("features", "sr"))
        )

    def features(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the trunk makes of a picture (h, w, 3) in [0, 1]: (1, channels, h, w)."""
        return self._features.run(None, {"lr": lr[np.newaxis]})[0]

    def enlarge(self, features: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
        """The picture (4h, 4w, 3) in [-1, 1] from a window of (h, w) features; the caller may change the array."""
        return self._enlarge.run(None, {"features": np.ascontiguousarray(features[:, :, *window])})[0][0]
