"""Picture files of people: read with all that has to survive an enlargement, written without holding the result.

Gray stays gray, transparency stays, 16 bits stay 16 bits; ICC profile and EXIF come along; pixels are turned as EXIF
says.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.opening import (
    HEIC_IS_NOT_READ,
    SRGB_MODES,
    Pixels,
    as_alpha,
    open_image,
    orientation_of,
    pixels_of,
    turned,
)

MAX_PIXELS = 25_000_000
"""Largest picture that is read; enlarged by 4 it has 400 megapixels."""

_ANIMATIONS = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")


class Metadata(NamedTuple):
    """What a file says of its pixels."""

    icc_profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None


class Picture(NamedTuple):
    """A decoded picture, upright.

    Attributes:
        colour: (h, w) gray or (h, w, 3) RGB.
        alpha: (h, w) of the same type, None where all is opaque.
        metadata: to be written again.
    """

    colour: Pixels
    alpha: Pixels | None
    metadata: Metadata

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
    with _readers_errors(content), open_image(content) as picture:
        return picture.size


def decode_picture(content: bytes) -> Picture:
    """Decode the bytes of a picture file.

    Raises:
        UserError: as ``read_picture``; the message goes on from the name of the file.
    """
    with _readers_errors(content), open_image(content) as picture:
        kind, frames = str(picture.format), getattr(picture, "n_frames", 1)
        if frames > 1 and kind in _ANIMATIONS:
            raise UserError(f"is animated or has several pages ({frames}); only still pictures can be enlarged")
        if picture.width * picture.height > MAX_PIXELS:
            raise UserError(
                f"is too large ({picture.width}x{picture.height}); at most {MAX_PIXELS // 1_000_000} megapixels can be "
                "enlarged"
            )
        orientation = orientation_of(picture)
        metadata = _metadata(picture)
        if _has_16_bits_of_colour(picture, content):
            colour, alpha = _split(_read_16_bits(content, kind))
        else:
            picture.load()
            colour, alpha = pixels_of(picture)
        colour, alpha = turned(colour, orientation), None if alpha is None else turned(alpha, orientation)
        return Picture(colour, alpha, metadata)


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
        kind = "is damaged or cut short" if _known(content) else "cannot be read as an image"
        raise UserError(kind) from error


def _known(content: bytes) -> bool:
    """Is it at least the beginning of a picture?"""
    try:
        with open_image(content):
            return True
    except Exception:  # as above
        return False


def _metadata(picture: Image.Image) -> Metadata:
    exif = picture.getexif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    # They will be the size of the enlarged picture, as far as they stand there.
    for tag in (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight):
        details.pop(tag, None)
    exif.pop(ExifTags.Base.Orientation, None)  # the pixels are turned
    for tag in (ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength, ExifTags.Base.StripOffsets):
        exif.pop(tag, None)
    kept = exif if picture.format != "TIFF" else _descriptive(exif)
    dpi = picture.info.get("dpi")
    valid = dpi if dpi is not None and all(0 < float(value) < 1e5 for value in dpi) else None
    profile = picture.info.get("icc_profile") if picture.mode not in SRGB_MODES else None
    return Metadata(profile or None, kept.tobytes() if len(kept) or details else None, valid)


def _descriptive(exif: Image.Exif) -> Image.Exif:
    """Of a TIFF's tags those that say something about the picture, not about how it is stored."""
    kept = Image.Exif()
    names = ("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "Copyright")
    for tag in (getattr(ExifTags.Base, name) for name in names):
        if tag in exif:
            kept[tag] = exif[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if content := exif.get_ifd(ifd):
            kept.get_ifd(ifd).update(content)
    return kept


def _has_16_bits_of_colour(picture: Image.Image, content: bytes) -> bool:
    """Pillow cuts such pictures to 8 bits, unless they are gray without transparency."""
    if picture.mode not in ("RGB", "RGBA", "RGBX", "LA"):
        return False
    if picture.format == "PNG":
        return content[24] == 16  # IHDR: after signature, length, name, width and height
    return picture.format == "TIFF" and 16 in getattr(picture, "tag_v2", {}).get(258, ())  # BitsPerSample


def _read_16_bits(content: bytes, kind: str) -> NDArray[np.uint16]:
    """(h, w, channels) of a PNG or TIFF file."""
    if kind == "PNG":
        import png

        width, height, rows, facts = png.Reader(bytes=content).asDirect()
        pixels = np.vstack([np.asarray(row, np.uint16) for row in rows])
        return pixels.reshape(height, width, facts["planes"])
    import tifffile

    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages[0]
        samples = page.asarray()
        if samples.dtype != np.uint16 or samples.ndim != 3:
            raise UserError("is a TIFF of a kind that cannot be read; save it as 8- or 16-bit RGB")
        return np.moveaxis(samples, 0, -1) if samples.shape[0] <= 4 < samples.shape[2] else samples


def _split(pixels: NDArray[np.uint16]) -> tuple[Pixels, Pixels | None]:
    channels = pixels.shape[2]
    colour = pixels[..., 0] if channels <= 2 else pixels[..., :3]
    return np.ascontiguousarray(colour), as_alpha(pixels[..., -1]) if channels in (2, 4) else None
