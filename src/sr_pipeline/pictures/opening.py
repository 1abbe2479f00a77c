"""Opening picture files: which formats, what their pixels mean, and which way is up; for all that reads pictures."""

import io
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms
from upath import UPath

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.png_chunks import SIGNATURE, readable_png

Pixels = NDArray[Any]
"""uint8 or uint16; of Python arrays also floating, between 0 and 1."""

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".jp2", ".tif", ".tiff", ".bmp", ".gif"}
    | {".ppm", ".pgm", ".pnm"}
)
"""Endings of the files that are taken for pictures."""

HEIC_SUFFIXES = frozenset({".heic", ".heif"})
HEIC_IS_NOT_READ = "is a HEIC picture, which cannot be read; convert it to JPEG or PNG first"

LEFT_OUT = (".", "__MACOSX")
"""Beginnings of names that are left out: what is hidden, and what archives of macOS bring along."""

SRGB_MODES = ("CMYK", "LAB")
"""What is converted to sRGB; a profile in the file does not describe that."""

# What photographs come in; MPO, of cameras with two lenses, is read as JPEG. Pillow knows more, among them
# EPS, which runs an interpreter.
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")

_AnyPath = TypeVar("_AnyPath", Path, UPath)


def picture_files(folder: _AnyPath, suffixes: Set[str] = PICTURE_SUFFIXES) -> Iterator[_AnyPath]:
    """All files with one of these endings below a folder, in arbitrary order; what is hidden is left out."""
    for file in folder.rglob("*"):
        if file.suffix.lower() in suffixes:
            parts = file.relative_to(folder).as_posix().split("/")
            if not any(part.startswith(LEFT_OUT) for part in parts) and file.is_file():
                yield file


def open_image(content: bytes) -> Image.Image:
    """The picture in the bytes of a file, its head read and nothing decoded.

    Of a PNG file, damaged extras are left out, at which Pillow would stop: see ``readable_png``, which gives them.

    Raises:
        Exception: what Pillow's readers raise on other files, which has no common class.
    """
    if content.startswith(SIGNATURE):
        content = readable_png(content).content
    return Image.open(io.BytesIO(content), formats=_formats())


@cache
def _formats() -> tuple[str, ...]:
    """Those of ``_FORMATS`` that this Pillow was built with; ``Image.open`` knows them once they are loaded."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def orientation_of(picture: Image.Image) -> int:
    """EXIF's orientation, from 1 to 8; 1, upright, where it says none or cannot be read."""
    if picture.format == "PNG":  # whose EXIF may come after the pixels: what is wrong with those must not pass for EXIF
        picture.load()
    try:
        stated: Any = picture.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow's parser fails in many ways on what cameras and programs write
        return 1
    return int(stated) if stated in range(1, 9) else 1


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Upright, as EXIF's orientation says (Exif 2.32, tag 274)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def pixels_of(picture: Image.Image) -> tuple[Pixels, Pixels | None]:
    """Colour and alpha of an open Pillow picture, as ``Picture`` has them.

    Raises:
        UserError: if its mode has no range of values; the message goes on from the name of the picture.
    """
    if picture.mode.startswith("I;16"):
        return np.asarray(picture).astype(np.uint16), None
    if picture.mode == "I":
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise UserError("has 32-bit values; save it with 8 or 16 bits a channel")
        return values.astype(np.uint16), None
    if picture.mode in SRGB_MODES:
        picture = _to_srgb(picture)
    if picture.mode in ("F", "HSV"):
        raise UserError(f"is of a kind that cannot be read ({picture.mode}); save it with 8 or 16 bits a channel")
    if picture.has_transparency_data:
        gray = picture.mode in ("L", "LA", "La", "1")
        pixels = np.asarray(picture.convert("LA" if gray else "RGBA"))
        colour = pixels[..., 0] if gray else pixels[..., :3]
        return np.ascontiguousarray(colour), as_alpha(pixels[..., -1])
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")), None


def as_alpha(values: Pixels) -> Pixels | None:
    """Values of an alpha channel; None where all is opaque."""
    opaque = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    return None if values.min() == opaque else np.ascontiguousarray(values)


def _to_srgb(picture: Image.Image) -> Image.Image:
    profile = picture.info.get("icc_profile")
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                picture, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            assert converted is not None
            return converted
        except ImageCms.PyCMSError:
            pass  # a broken profile says nothing about the colours
    return picture.convert("RGB")
