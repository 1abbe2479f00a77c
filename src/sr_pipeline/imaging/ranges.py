"""Values of images: 8 bits in files, [-1, 1] in networks."""

import numpy as np
from numpy.typing import NDArray


def to_minus_one_one(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale 8 bits to [-1, 1]."""
    return (images / np.float32(127.5) - 1).astype(np.float32)


def to_uint8(images: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Round values in [-1, 1] to 8 bits; what lies outside is clipped."""
    return np.clip(np.rint((images + 1.0) * 127.5), 0, 255).astype(np.uint8)
