"""Which picture files are usable as photographs to train and measure on, as 8-bit RGB: stricter than ``reading``."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.pictures.opening import Pixels, open_image, orientation_of, pixels_of, turned
from sr_pipeline.pictures.sixteen_bits import DeepPixels, has_deep_png, open_deep, read_deep_png
from sr_pipeline.storage import read_bytes

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded if nothing else is said: 192 MB as RGB."""

_USABLE_MODES = ("RGB", "CMYK", "1", "L", "LA", "La", "P", "PA", "RGBA", "RGBa", "RGBX", "YCbCr")
_READABLE = ("bool", "uint8", "uint16")  # types of TIFF files; what fails with these is the file


class UnusablePictureError(Exception):
    """A file that does not become a correct RGB picture; ``reason`` says why in a few steady words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Decoded(NamedTuple):
    """A decoded picture: 8-bit RGB and upright, and what it was in the file."""

    picture: Image.Image
    mode: str
    stored_size: tuple[int, int]
    """(width, height) before it was turned as EXIF says."""


def decode_rgb(content: bytes, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode the bytes of a picture file whole, turn it upright, and convert it to 8-bit RGB.

    Gray, palette, YCbCr and CMYK are converted (CMYK by its ICC profile where it has one), 16 bits are scaled
    and rounded to 8. Of a file with several frames the first is taken. RGB values stay as they are stored:
    like all super-resolution data sets, this ignores their ICC profiles.

    Args:
        content: the file.
        max_pixels: width x height from which on a picture counts as a decompression bomb.

    Raises:
        UnusablePictureError: for a file that is not a picture, is truncated, too large, partly transparent, or of a
            mode without one correct conversion.
    """
    try:
        return _decoded(content, max_pixels)
    except UnusablePictureError:
        raise
    except Image.DecompressionBombError as error:
        raise UnusablePictureError("decompression bomb") from error
    except Exception as error:  # what readers raise on broken files has no common class
        mode = _mode_of_tiff(content)
        if mode:
            raise UnusablePictureError(f"unsupported mode {mode}") from error
        truncated = isinstance(error, EOFError) or "truncated" in str(error).lower()
        raise UnusablePictureError("truncated" if truncated else "undecodable") from error


def read_rgb(file: str | Path) -> RgbImage:
    """Read a picture file by ``decode_rgb``; its shape is that of the upright picture.

    Raises:
        OSError: if the file cannot be read.
        UnusablePictureError: if it is not a usable picture.
    """
    return np.asarray(decode_rgb(read_bytes(file)).picture)


def _decoded(content: bytes, max_pixels: int) -> Decoded:
    deep = open_deep(content)
    if deep:
        _check_size(deep.size, max_pixels)
        return _rounded(deep.read(), deep.size)
    with open_image(content) as picture:
        mode, size = picture.mode, picture.size
        _check_size(size, max_pixels)
        orientation = orientation_of(picture)
        if has_deep_png(picture, content):
            return _rounded(read_deep_png(content)._replace(orientation=orientation), size)
        picture.load()
        _check_usable(picture)
        if mode != "RGB" or orientation != 1:  # most photographs need neither, and no copy
            colour, _ = pixels_of(picture)
            return Decoded(Image.fromarray(_as_8_bit_rgb(turned(colour, orientation))), mode, size)
        return Decoded(picture, mode, size)


def _rounded(pixels: DeepPixels, size: tuple[int, int]) -> Decoded:
    """A picture of 16 bits a channel; its mode is that which Pillow gives such files."""
    if pixels.alpha is not None:
        raise UnusablePictureError("transparent")
    upright = _as_8_bit_rgb(turned(pixels.colour, pixels.orientation))
    return Decoded(Image.fromarray(upright), "I;16" if pixels.colour.ndim == 2 else "RGB", size)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] * size[1] > max_pixels:
        raise UnusablePictureError("decompression bomb")


def _check_usable(picture: Image.Image) -> None:
    """Refuse what does not become a correct RGB photograph."""
    if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise UnusablePictureError("transparent")  # what lies under transparent pixels is not part of the photograph
    deep_pgm = picture.mode == "I" and picture.format == "PPM"  # which Pillow scales to 0-65535
    if picture.mode not in _USABLE_MODES and not picture.mode.startswith("I;16") and not deep_pgm:
        raise UnusablePictureError(f"unsupported mode {picture.mode}")


def _mode_of_tiff(content: bytes) -> str | None:
    """What the values of a TIFF file are if neither Pillow nor ``open_deep`` reads them; "F" if they are floating."""
    if content[:2] not in (b"II", b"MM"):
        return None
    import tifffile

    try:
        dtype = tifffile.TiffFile(io.BytesIO(content)).pages.first.dtype
    except Exception:  # a broken file
        return None
    if dtype is None or dtype in _READABLE:
        return None
    return "F" if dtype.kind == "f" else str(dtype)


def _as_8_bit_rgb(colour: Pixels) -> RgbImage:
    if colour.dtype == np.uint16:
        colour = ((colour.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    return colour if colour.ndim == 3 else np.repeat(colour[..., np.newaxis], 3, axis=2)
