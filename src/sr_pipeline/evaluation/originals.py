"""Reading the pictures that are measured on."""

from typing import NamedTuple

import numpy as np

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.pictures.opening import open_image, orientation_of, turned
from sr_pipeline.pictures.photographs import UnusablePictureError, decode_rgb
from sr_pipeline.pictures.sixteen_bits import DeepPixels, has_deep_png, open_deep, read_deep_png

_GRAY_MODES = ("1", "L", "LA", "La")  # and 16-bit gray, "I;16"


class Read(NamedTuple):
    """An 8-bit RGB picture (h, w, 3), and whether its file has a single channel of gray."""

    image: RgbImage
    stored_gray: bool


def read_original(content: bytes) -> Read:
    """Decode a picture file by ``decode_rgb``, with 16 bits rounded to 8: Pillow would cut off the lower byte.

    Raises:
        UnusablePictureError: if it is not a usable picture.
    """
    decoded = decode_rgb(content)
    stored_gray = decoded.mode in _GRAY_MODES or decoded.mode.startswith("I;16")
    deep = _deep_pixels(content)
    if deep is None or deep.colour.dtype != np.uint16:
        return Read(np.asarray(decoded.picture), stored_gray)
    rounded = ((deep.colour.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    rounded = np.repeat(rounded[..., np.newaxis], 3, axis=2) if rounded.ndim == 2 else rounded
    return Read(turned(rounded, deep.orientation), stored_gray)


def _deep_pixels(content: bytes) -> DeepPixels | None:
    try:
        deep = open_deep(content)
    except UserError as error:  # a camera's raw file, whose preview is no original
        raise UnusablePictureError(str(error)) from error
    if deep:
        return deep.read()
    with open_image(content) as picture:
        if has_deep_png(picture, content):
            return read_deep_png(content)._replace(orientation=orientation_of(picture))
    return None
