"""Picture files of people: read with all that has to survive an enlargement, written without holding the result.

Gray stays gray, transparency stays, 16 bits stay 16 bits; metadata comes along as bytes; pixels are turned as EXIF
says.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.jpeg_end import with_end
from sr_pipeline.pictures.metadata import Metadata, metadata_of, metadata_of_tiff
from sr_pipeline.pictures.opening import (
    HEIC_IS_NOT_READ,
    Pixels,
    open_image,
    orientation_of,
    pixels_of,
    turned,
)
from sr_pipeline.pictures.png_chunks import SIGNATURE, readable_png
from sr_pipeline.pictures.sixteen_bits import (
    DeepPixels,
    has_deep_png,
    open_deep,
    read_deep_png,
    tiff_pages,
)

MAX_PIXELS = 25_000_000
"""Largest picture that is read; enlarged by 4 it has 400 megapixels."""

_ANIMATIONS = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")


class Picture(NamedTuple):
    """A decoded picture, upright.

    Attributes:
        colour: (h, w) gray or (h, w, 3) RGB.
        alpha: (h, w) of the same type, None where all is opaque.
        metadata: to be written again.
        left_out: what of the file could not be read, in words that follow "without its".
    """

    colour: Pixels
    alpha: Pixels | None
    metadata: Metadata
    left_out: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.colour.shape[1], self.colour.shape[0]


def read_picture(path: Path) -> Picture:
    """Read a picture file.

    Raises:
        UserError: if it cannot be read, is not a picture, is animated, or is too large.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})") from error
    if not content:
        raise UserError("is empty")
    return decode_picture(content)


def size_of(content: bytes) -> tuple[int, int]:
    """(width, height) as the header of a picture file states them, nothing being decoded.

    Raises:
        UserError: as ``read_picture``; the message goes on from the name of the file.
    """
    with _readers_errors(content):
        deep = open_deep(content)
        if deep:
            return deep.size
        with open_image(content) as picture:
            return picture.size


def decode_picture(content: bytes) -> Picture:
    """Decode the bytes of a picture file.

    Raises:
        UserError: as ``read_picture``; the message goes on from the name of the file.
    """
    with _readers_errors(content):
        try:
            return _decoded(content)
        except OSError:
            whole = with_end(content)
            if whole is None:
                raise
            return _decoded(whole)


def _decoded(content: bytes) -> Picture:
    png = readable_png(content) if content.startswith(SIGNATURE) else None
    if png:
        content = png.content
    deep = open_deep(content)
    if deep:
        _check_size(*deep.size)
    if deep and not _opens(content):  # Pillow does not open all that have 16 bits
        _check_frames("TIFF", tiff_pages(content) or 1)
        metadata = metadata_of_tiff(content)
        pixels = deep.read()
    else:
        with open_image(content) as picture:
            _check_kind(picture, content)
            orientation = orientation_of(picture)
            metadata = metadata_of(picture, content, png)
            pixels = deep.read() if deep else _pixels(picture, content, orientation)
    colour, alpha, orientation = pixels
    alpha = None if alpha is None else turned(alpha, orientation)
    return Picture(turned(colour, orientation), alpha, metadata, tuple(png.left_out) if png else ())


def _check_kind(picture: Image.Image, content: bytes) -> None:
    kind, frames = str(picture.format), getattr(picture, "n_frames", 1)
    if kind == "TIFF" and frames > 1:
        frames = tiff_pages(content) or frames
    _check_frames(kind, frames)
    _check_size(picture.width, picture.height)


def _check_frames(kind: str, frames: int) -> None:
    if frames > 1 and kind in _ANIMATIONS:
        raise UserError(f"is animated or has several pages ({frames}); only still pictures can be enlarged")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        most = MAX_PIXELS // 1_000_000
        raise UserError(f"is too large ({width}x{height}); at most {most} megapixels can be enlarged")


def _pixels(picture: Image.Image, content: bytes, orientation: int) -> DeepPixels:
    if has_deep_png(picture, content):
        return read_deep_png(content)._replace(orientation=orientation)
    picture.load()
    return DeepPixels(*pixels_of(picture), orientation)


@contextmanager
def _readers_errors(content: bytes) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Image.DecompressionBombError as error:
        raise UserError(f"is too large; at most {MAX_PIXELS // 1_000_000} megapixels can be enlarged") from error
    except MemoryError as error:
        raise UserError("is too large for this machine's memory") from error
    except Exception as error:  # what readers raise on broken files has no common class
        if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
            raise UserError(HEIC_IS_NOT_READ) from error
        kind = "is damaged or cut short" if _opens(content) else "cannot be read as an image"
        raise UserError(kind) from error


def _opens(content: bytes) -> bool:
    """Is it at least the beginning of a picture?"""
    try:
        with open_image(content):
            return True
    except Exception:  # as above
        return False
