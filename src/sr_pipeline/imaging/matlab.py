"""Bicubic resizing as MATLAB's ``imresize`` does it: what published figures and low-resolution files were made with.

Pillow has the same kernel and the same antialiasing, and differs in two ways. At the borders it cuts the kernel, where
MATLAB mirrors the picture. And it begins with the width, MATLAB with the height; both round to 8 bits in between.
"""

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.imaging.types import RgbImage

_WIDTH = 4.0  # of the cubic kernel, in pixels of the finer grid's neighbour distance


def reduce_as_matlab(image: RgbImage, scale: int) -> RgbImage:
    """``imresize(image, 1/scale, 'bicubic')``, with its antialiasing.

    Args:
        image: (h, w, 3) uint8.
        scale: a whole number.

    Returns:
        (ceil(h / scale), ceil(w / scale), 3) uint8.
    """
    height, width = image.shape[:2]
    return _resize(image, (-(-height // scale), -(-width // scale)), 1 / scale)


def enlarge_as_matlab(image: RgbImage, scale: int) -> RgbImage:
    """``imresize(image, scale, 'bicubic')``: from (h, w, 3) uint8 to (scale * h, scale * w, 3)."""
    height, width = image.shape[:2]
    return _resize(image, (height * scale, width * scale), float(scale))


def resize_axis(values: NDArray, size: int, scale: float, axis: int) -> NDArray[np.float64]:
    """One pass of ``imresize``: ``values`` resized along ``axis``, neither rounded nor clipped.

    Args:
        values: of any shape.
        size: of the result along ``axis``.
        scale: output pixels per input pixel; below 1 the kernel is widened by 1 / scale (antialiasing).
        axis: which.
    """
    weights = _weights(values.shape[axis], size, scale)
    return np.moveaxis(np.tensordot(weights, values.astype(np.float64), (1, axis)), 0, axis)


def _resize(image: RgbImage, shape: tuple[int, int], scale: float) -> RgbImage:
    """Rows first, then columns, as ``imresize`` does where both have one scale; 8 bits after each pass."""
    rows = _to_8_bits(resize_axis(image, shape[0], scale, 0))
    return _to_8_bits(resize_axis(rows, shape[1], scale, 1))


def _to_8_bits(values: NDArray[np.float64]) -> RgbImage:
    """Clipped, and halves rounded up; 1e-9 makes up for weights whose sum is 1 only nearly."""
    return np.floor(np.clip(values, 0, 255) + (0.5 + 1e-9)).astype(np.uint8)


def _weights(length: int, size: int, scale: float) -> NDArray[np.float64]:
    """Share of each input pixel in each output pixel, (size, length): ``contributions`` of ``imresize.m`` (R2007a on).

    Pixel centres are aligned so that 0.5 is 0.5 on both grids. Pixels outside are those mirrored at the edge, which is
    repeated (``symmetric``). The weights of each output pixel add up to 1.
    """
    narrowing = min(scale, 1.0)
    reach = _WIDTH / narrowing
    centres = (np.arange(size) + 0.5) / scale - 0.5
    first = np.floor(centres - reach / 2).astype(int)
    positions = first[:, np.newaxis] + np.arange(int(np.ceil(reach)) + 2)
    shares = _cubic(narrowing * (centres[:, np.newaxis] - positions))
    shares /= shares.sum(axis=1, keepdims=True)
    mirrored = np.concatenate([np.arange(length), np.arange(length)[::-1]])[positions % (2 * length)]
    weights = np.zeros((size, length))
    np.add.at(weights, (np.arange(size)[:, np.newaxis], mirrored), shares)
    return weights


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic convolution kernel with a = -1/2: Keys 1981, IEEE TASSP 29(6), equation 15."""
    distance = np.abs(x)
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.where(distance <= 1, near, np.where(distance <= 2, far, 0.0))
