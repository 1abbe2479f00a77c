"""Opening picture files as 8-bit RGB, whatever a data set of real photographs holds."""

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageCms, ImageOps
from upath import UPath

from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.storage import read_bytes

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded if nothing else is said: 192 MB as RGB."""

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".jp2", ".tif", ".tiff", ".bmp", ".gif"}
    | {".ppm", ".pgm", ".pnm"}
)
"""Endings of the files that are taken for pictures."""

_LEFT_OUT = (".", "__MACOSX")  # hidden, and what archives of macOS bring along

# What photographs come in; MPO, of cameras with two lenses, is read as JPEG. Pillow knows more, among them
# EPS, which runs an interpreter.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")
_PLAIN_MODES = ("1", "L", "LA", "La", "P", "PA", "RGBA", "RGBa", "RGBX", "YCbCr")

_AnyPath = TypeVar("_AnyPath", Path, UPath)


def picture_files(folder: _AnyPath) -> Iterator[_AnyPath]:
    """All picture files below a folder, in no certain order; hidden files and folders are left out."""
    for file in folder.rglob("*"):
        if file.suffix.lower() in PICTURE_SUFFIXES:
            parts = file.relative_to(folder).as_posix().split("/")
            if not any(part.startswith(_LEFT_OUT) for part in parts) and file.is_file():
                yield file


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

    Gray, palette, YCbCr and CMYK are converted (CMYK by its ICC profile where it has one), 16-bit gray is
    scaled to 8 bits. Of a file with several frames the first is taken. RGB values stay as they are stored:
    like all super-resolution data sets, this ignores their ICC profiles.

    Args:
        content: the file.
        max_pixels: width x height from which on a picture counts as a decompression bomb.

    Raises:
        UnusablePictureError: for a file that is no picture, truncated, too large, partly transparent, or of a
            mode without one correct conversion.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as picture:
            mode, size = picture.mode, picture.size
            if size[0] * size[1] > max_pixels:
                raise UnusablePictureError("decompression bomb")
            picture.load()
            ImageOps.exif_transpose(picture, in_place=True)
            return Decoded(_to_rgb(picture), mode, size)
    except UnusablePictureError:
        raise
    except Image.DecompressionBombError as error:
        raise UnusablePictureError("decompression bomb") from error
    except Exception as error:  # what Pillow's readers raise on broken files has no common class
        truncated = isinstance(error, EOFError) or "truncated" in str(error).lower()
        raise UnusablePictureError("truncated" if truncated else "undecodable") from error


def read_rgb(file: str | Path) -> RgbImage:
    """Read a picture file by ``decode_rgb``; its shape is that of the upright picture.

    Raises:
        OSError: if the file cannot be read.
        UnusablePictureError: if it is no usable picture.
    """
    return np.asarray(decode_rgb(read_bytes(file)).picture)


@cache
def _formats() -> tuple[str, ...]:
    """Those of ``_FORMATS`` that this Pillow was built with; ``Image.open`` knows them once they are loaded."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.has_transparency_data and picture.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise UnusablePictureError("transparent")  # what lies under transparent pixels is no photograph
    if picture.mode == "RGB":
        return picture
    if picture.mode.startswith("I;16"):
        return _sixteen_to_eight_bits(picture).convert("RGB")
    if picture.mode == "CMYK":
        return _cmyk_to_rgb(picture)
    if picture.mode in _PLAIN_MODES:
        return picture.convert("RGB")
    raise UnusablePictureError(f"unsupported mode {picture.mode}")


def _sixteen_to_eight_bits(picture: Image.Image) -> Image.Image:
    """Scale 0–65535 to 0–255, rounded; Pillow's own conversion cuts everything above 255."""
    values = np.asarray(picture).astype(np.uint32)
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _cmyk_to_rgb(picture: Image.Image) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if profile:
        try:
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(picture, io.BytesIO(profile), srgb, outputMode="RGB")
            assert converted is not None  # only an in-place conversion returns None
            return converted
        except ImageCms.PyCMSError:
            pass  # a broken profile says nothing about the colours
    return picture.convert("RGB")
