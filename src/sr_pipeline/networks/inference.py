"""Running a generator on 8-bit pictures of any size."""

from typing import Any

import numpy as np
import tensorflow as tf

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.ranges import to_uint8
from sr_pipeline.imaging.tiling import enlarge_in_tiles
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.networks.parameters import SCALE

SMALLEST = 5
"""Edge in pixels of the smallest picture a generator takes: the 9x9 reflection padding mirrors 4 pixels."""


class SuperResolver:
    """Enlarges pictures with a generator, large ones in tiles, so that memory grows with the tile alone.

    Tiles overlap by all the generator sees around a pixel: the result is that of the whole picture, but for
    the rounding of sums that are taken in another order.

    Args:
        generator: a Keras model from (n, h, w, 3) in [0, 1] to (n, 4h, 4w, 3) in [-1, 1].
        tile: largest edge in pixels of what the generator is given at once.

    Raises:
        UserError: if ``generator`` does not enlarge RGB pictures by 4, or sees as far as the tile is wide.
    """

    def __init__(self, generator: Any, tile: int) -> None:
        _check_scale(generator)
        self._tile = tile
        self._margin = reach(generator)
        if tile <= 2 * self._margin:
            raise UserError(
                f"evaluate.tile={tile} is too small for a generator that sees {self._margin} pixels around each: set "
                f"it to at least {2 * self._margin + 1}"
            )
        # One trace for pictures of all sizes.
        signature = [tf.TensorSpec((None, None, None, 3), tf.float32)]
        self._call = tf.function(lambda images: generator(images, training=False), input_signature=signature)

    def __call__(self, lr: RgbImage) -> RgbImage:
        """Enlarge one picture (h, w, 3) uint8 to (4h, 4w, 3)."""
        height, width = lr.shape[:2]
        if min(height, width) < SMALLEST:
            bottom, right = (max(SMALLEST - edge, 0) for edge in (height, width))
            lr = np.pad(lr, ((0, bottom), (0, right), (0, 0)), mode="symmetric")
        sr = enlarge_in_tiles(lr, self._enlarge, SCALE, self._tile, self._margin)
        return sr[: SCALE * height, : SCALE * width]

    def _enlarge(self, lr: RgbImage) -> RgbImage:
        batch = tf.constant(lr[np.newaxis].astype(np.float32) / 255.0)
        return to_uint8(self._call(batch).numpy()[0])


def reach(generator: Any) -> int:
    """How many input pixels around a pixel its enlargement depends on: the radius of the receptive field.

    Every convolution of the model adds half its kernel, in pixels of the size it works at (Araujo et al. 2019,
    "Computing Receptive Fields of Convolutional Neural Networks", equation 2, for a chain; parallel branches count
    as if they followed each other, so it may be too large, never too small).
    """
    radius, scale = 0.0, 1
    for operation in generator.operations:
        kernel = getattr(operation, "kernel_size", None)
        if kernel:
            radius += max(edge // 2 for edge in kernel) / scale
        kind = type(operation).__name__
        if kind == "UpSampling2D":
            scale *= operation.size[0]
        elif kind == "DepthToSpace":
            scale = min(scale * operation.block_size, SCALE)  # which two parallel branches reach, each by itself
    return int(np.ceil(radius))


def _check_scale(generator: Any) -> None:
    height, width = 8, 12
    try:
        shape = tuple(generator(np.zeros((1, height, width, 3), np.float32), training=False).shape)
    except (ValueError, TypeError, tf.errors.InvalidArgumentError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"this model does not take RGB pictures of any size ({reason}); choose a generator") from error
    if shape != (1, SCALE * height, SCALE * width, 3):
        raise UserError(
            f"this model makes {shape} of a picture of (1, {height}, {width}, 3), so it does not enlarge by {SCALE}; "
            f"choose a generator of scale {SCALE}"
        )
