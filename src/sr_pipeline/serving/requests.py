"""Picture files in, picture files out, with limits and one clear sentence for what cannot be enlarged."""

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.pictures.decode import UnusablePictureError, decode_rgb

MAX_PIXELS = 1_000_000
"""Largest picture that is taken: MLflow ends a request after 60 seconds, in which two cores do some twice that."""
MIN_EDGE = 24
"""Smallest edge: that of the crops a generator is trained on."""


def enlarge_file(content: bytes, enlarge: Callable[[RgbImage], RgbImage]) -> bytes:
    """The bytes of a PNG or JPEG file to those of a PNG file, enlarged.

    Args:
        content: the file.
        enlarge: from (h, w, 3) uint8 to the larger picture.

    Raises:
        UserError: if the file is not such a picture, or its size is out of bounds.
    """
    if not content:
        raise UserError("the picture is empty; send the bytes of a PNG or JPEG file")
    _check_header(content)
    try:
        picture = decode_rgb(content, MAX_PIXELS).picture
    except UnusablePictureError as error:
        raise UserError(f"this is no picture that can be enlarged ({error}); send a whole PNG or JPEG file") from error
    buffer = io.BytesIO()
    Image.fromarray(enlarge(np.asarray(picture))).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def _check_header(content: bytes) -> None:
    """Refuse by what the head of the file says, before anything is decoded."""
    Image.init()  # or Pillow does not know WebP by name
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "GIF", "WEBP")) as picture:
            kind, (width, height), frames = picture.format, picture.size, getattr(picture, "n_frames", 1)
    except Image.DecompressionBombError as error:
        raise UserError(f"the picture is too large; send at most {_megapixels(MAX_PIXELS)}") from error
    except Exception as error:  # what Pillow's readers raise has no common class
        raise UserError("this is no picture file; send the bytes of a PNG or JPEG file") from error
    if frames > 1 and kind != "MPO":  # JPEG with previews in it
        raise UserError(f"the picture is animated ({frames} frames); send a still PNG or JPEG file")
    if kind not in ("PNG", "JPEG", "MPO"):
        raise UserError(f"the picture is a {kind} file; send a PNG or JPEG file")
    if width * height > MAX_PIXELS:
        raise UserError(f"the picture of {width}x{height} pixels is too large; send at most {_megapixels(MAX_PIXELS)}")
    if min(width, height) < MIN_EDGE:
        raise UserError(f"the picture of {width}x{height} pixels is too small; send at least {MIN_EDGE}x{MIN_EDGE}")


def _megapixels(pixels: int) -> str:
    edge = math.isqrt(pixels)
    return f"{pixels / 1e6:g} megapixel{'s' if pixels > 1e6 else ''}, such as {edge}x{edge}"
