"""Running a generator on 8-bit pictures."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.imaging.types import RgbImage


def to_uint8(sr: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Round values in [-1, 1] to 8 bits; what lies outside is clipped."""
    return np.clip(np.rint((sr + 1.0) * 127.5), 0, 255).astype(np.uint8)


def super_resolve(generator: Any, lr: RgbImage) -> RgbImage:
    """Enlarge one picture (h, w, 3) with a Keras generator to (4h, 4w, 3)."""
    batch = lr[np.newaxis].astype(np.float32) / 255.0
    return to_uint8(generator(batch, training=False).numpy()[0])
