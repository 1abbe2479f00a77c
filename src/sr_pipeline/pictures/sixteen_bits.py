"""Pictures with 16 bits per channel, which Pillow reduces to 8, misreads, or does not open."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.opening import Pixels, as_alpha

_WHITEST = 65535
_RAW = 50706  # the tag DNGVersion: the first picture of such a file is a small preview


class DeepPixels(NamedTuple):
    """Colour and alpha as ``Picture`` has them, not yet turned, and EXIF's orientation."""

    colour: Pixels
    alpha: Pixels | None
    orientation: int = 1


class DeepFile(NamedTuple):
    """A file with 16 bits per channel, of which only the header has been read.

    Attributes:
        size: (width, height), as stored.
        read: decodes it.
    """

    size: tuple[int, int]
    read: Callable[[], DeepPixels]


def open_deep(content: bytes) -> DeepFile | None:
    """A TIFF file of gray or RGB with 16 bits, or a raw PPM file with more than 8; None of any other file.

    Raises:
        UserError: if a TIFF file holds floating-point values, or a camera's raw data; the message goes on from the
            name of the file.
    """
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _open_tiff(content)
    return _open_ppm(content) if content[:2] == b"P6" else None


def _open_tiff(content: bytes) -> DeepFile | None:
    import tifffile

    try:
        page = tifffile.TiffFile(io.BytesIO(content)).pages.first
    except tifffile.TiffFileError:
        return None  # Pillow may read it
    if _RAW in page.tags:
        raise UserError("is a camera's raw file, of which only a preview can be read; develop it as JPEG or TIFF first")
    if page.dtype is not None and page.dtype.kind == "f":
        raise UserError("has floating-point values; save it with 8 or 16 bits a channel")
    kinds = (tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
    if page.dtype != np.uint16 or page.bitspersample != 16 or page.photometric not in kinds:
        return None
    return DeepFile((page.imagewidth, page.imagelength), partial(_read_tiff, page))


def _read_tiff(page: Any) -> DeepPixels:
    """Pixels of a page of a TIFF file.

    White may be 0 (photometric interpretation 0); further channels are transparency only if the file says so, and
    colours that are multiplied with it are divided (TIFF 6.0, sections 4 and 18).
    """
    import tifffile

    samples = page.asarray()
    samples = samples[..., np.newaxis] if samples.ndim == 2 else samples
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1:
        samples = np.moveaxis(samples, 0, -1)
    channels = 3 if page.photometric == tifffile.PHOTOMETRIC.RGB else 1
    colour = samples[..., 0] if channels == 1 else samples[..., :3]
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        colour = _WHITEST - colour
    alpha = None
    for extra, kind in enumerate(page.extrasamples):
        if kind in (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA):
            alpha = samples[..., channels + extra]
            colour = _divided(colour, alpha) if kind == tifffile.EXTRASAMPLE.ASSOCALPHA else colour
            break
    orientation = page.tags.valueof(274)
    upright = orientation if orientation in range(1, 9) else 1
    return DeepPixels(np.ascontiguousarray(colour), None if alpha is None else as_alpha(alpha), upright)


def tiff_pages(content: bytes) -> int | None:
    """How many pages a TIFF file has that are not smaller versions of others (TIFF 6.0, NewSubfileType, bit 0).

    None for what tifffile does not open.
    """
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            return 1 + sum(not page.aspage().subfiletype & 1 for page in file.pages[1:])
    except tifffile.TiffFileError:
        return None


def read_deep_png(content: bytes) -> DeepPixels:
    """Pixels of a PNG file with 16 bits, also of a colour that counts as transparent."""
    import png

    width, height, rows, facts = png.Reader(bytes=content).asDirect()
    pixels = np.vstack([np.asarray(row, np.uint16) for row in rows]).reshape(height, width, facts["planes"])
    colour = pixels[..., 0] if facts["planes"] <= 2 else pixels[..., :3]
    alpha = as_alpha(pixels[..., -1]) if facts["planes"] in (2, 4) else None
    return DeepPixels(np.ascontiguousarray(colour), alpha)


def _open_ppm(content: bytes) -> DeepFile | None:
    numbers: list[int] = []
    position = 2
    while len(numbers) < 3:
        while content[position : position + 1].isspace():
            position += 1
        end = position
        if content[position : position + 1] == b"#":  # a comment, up to the end of its line
            position = content.index(b"\n", position)
            continue
        while content[end : end + 1].isdigit():
            end += 1
        numbers.append(int(content[position:end]))
        position = end
    width, height, highest = numbers
    if highest <= 255:
        return None
    return DeepFile((width, height), partial(_read_ppm, content, position + 1, (height, width, 3), highest))


def _read_ppm(content: bytes, start: int, shape: tuple[int, int, int], highest: int) -> DeepPixels:
    """Pixels of a raw PPM file, scaled to 16 bits."""
    values: NDArray[np.uint16] = np.frombuffer(content, ">u2", int(np.prod(shape)), start)
    scaled = np.rint(values.astype(np.float64) * (_WHITEST / highest)).astype(np.uint16)
    return DeepPixels(scaled.reshape(shape), None)


def has_deep_png(picture: Image.Image, content: bytes) -> bool:
    """Whether a PNG file has 16 bits that Pillow would lose: in colour, or in gray with transparency."""
    deep = picture.format == "PNG" and content[24] == 16  # IHDR: after signature, length, name, width and height
    return deep and (picture.mode in ("RGB", "RGBA", "LA") or "transparency" in picture.info)


def _divided(colour: NDArray[np.uint16], alpha: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Colours that were multiplied with alpha, as they were before; 0 where nothing can be seen."""
    opacity = alpha if colour.ndim == 2 else alpha[..., np.newaxis]
    straight = colour.astype(np.float64) * _WHITEST / np.maximum(opacity, 1)
    return np.rint(np.where(opacity > 0, np.minimum(straight, _WHITEST), 0)).astype(np.uint16)
