"""Picture files in, picture files out, with limits and one clear sentence for what cannot be enlarged."""

import base64
import io
import math
from typing import Any

import numpy as np
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.inference.enlargement import Upscale, enlarge, result_shape
from sr_pipeline.pictures.opening import open_image
from sr_pipeline.pictures.reading import decode_picture
from sr_pipeline.pictures.writing import write_png

MAX_PIXELS = 1_000_000
"""Largest picture that is taken: MLflow ends a request after 60 seconds, in which two cores do some twice that."""
MIN_EDGE = 24
"""Smallest edge: that of the crops a generator is trained on."""

_SEND = "send a PNG or JPEG file, over HTTP in base64"


def file_in(value: Any) -> bytes:
    """The picture file in a row of a table, which may be there in base64.

    MLflow decodes base64 in ``dataframe_split`` and ``dataframe_records`` alone; from ``inputs``, ``instances`` and CSV
    it hands on the text, or its bytes. No picture file can be taken for base64: PNG and JPEG begin with other bytes.

    Args:
        value: bytes, a text, or a list that holds one of them, which is a row of one column.

    Returns:
        The file; what is not base64 as it is, whatever that may be.

    Raises:
        UserError: if the value is none of these.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        value = value.encode("utf-8", "replace")
    if not isinstance(value, bytes):
        raise UserError(f"a row of the table holds no picture; {_SEND}")
    try:
        return base64.b64decode(b"".join(value.split()), validate=True)
    except ValueError:
        return value


def enlarge_file(content: bytes, upscale: Upscale) -> bytes:
    """The bytes of a PNG or JPEG file to those of a PNG file, enlarged as ``sr-pipeline upscale`` does.

    Args:
        content: the file.
        upscale: enlarges pixels.

    Raises:
        UserError: if the file is not such a picture, or its size is out of bounds.
    """
    if not content:
        raise UserError(f"the picture is empty; {_SEND}")
    _check_header(content)
    try:
        picture = decode_picture(content)
    except UserError as error:
        raise UserError(f"the picture {error}; send a whole PNG or JPEG file") from error
    pixels = np.empty(result_shape(picture), picture.colour.dtype)
    enlarge(picture, pixels, upscale, lambda done, total: None)
    buffer = io.BytesIO()
    write_png(buffer, pixels, picture.metadata)
    return buffer.getvalue()


def _check_header(content: bytes) -> None:
    """Refuse by what the head of the file says, before anything is decoded."""
    try:
        with open_image(content) as picture:
            kind, (width, height), frames = picture.format, picture.size, getattr(picture, "n_frames", 1)
    except Image.DecompressionBombError as error:
        raise UserError(f"the picture is too large; send at most {_megapixels(MAX_PIXELS)}") from error
    except Exception as error:  # what Pillow's readers raise has no common class
        raise UserError(f"this is not a picture file; {_SEND}") from error
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
