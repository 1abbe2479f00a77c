"""Picture files of people: read with all that has to survive an enlargement, written without holding the result.

Gray stays gray, transparency stays, 16 bits stay 16 bits; ICC profile and EXIF come along; pixels are turned as EXIF
says.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from sr_pipeline.errors import UserError

Pixels = NDArray[Any]
"""uint8 or uint16; of Python arrays also floating, between 0 and 1."""

MAX_PIXELS = 25_000_000
"""Largest picture that is read; enlarged by 4 it has 400 megapixels."""

_READ = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")
_ANIMATIONS = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")
_SRGB_MODES = ("CMYK", "LAB")  # converted to sRGB; their own profile does not describe that


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
        UserError: if it cannot be read, is no picture, is animated, or is too large.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})") from error
    if not content:
        raise UserError("is empty")
    return decode_picture(content)


def decode_picture(content: bytes) -> Picture:
    """Decode the bytes of a picture file.

    Raises:
        UserError: as ``read_picture``; the message goes on from the name of the file.
    """
    with _readers_errors(content), Image.open(io.BytesIO(content), formats=_formats()) as picture:
        kind, frames = str(picture.format), getattr(picture, "n_frames", 1)
        if frames > 1 and kind in _ANIMATIONS:
            raise UserError(f"is animated or has several pages ({frames}); only still pictures can be enlarged")
        if picture.width * picture.height > MAX_PIXELS:
            raise UserError(
                f"is too large ({picture.width}x{picture.height}); at most {MAX_PIXELS // 1_000_000} megapixels can be "
                "enlarged"
            )
        orientation = int(picture.getexif().get(ExifTags.Base.Orientation, 1))
        metadata = _metadata(picture)
        if _has_16_bits_of_colour(picture, content):
            colour, alpha = _split(_read_16_bits(content, kind))
        else:
            picture.load()
            colour, alpha = pixels_of(picture)
        colour, alpha = _turned(colour, orientation), None if alpha is None else _turned(alpha, orientation)
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
            raise UserError("is a HEIC picture, which cannot be read; convert it to JPEG or PNG first") from error
        kind = "is damaged or cut short" if _known(content) else "is no picture that can be read"
        raise UserError(kind) from error


def _known(content: bytes) -> bool:
    """Is it at least the beginning of a picture?"""
    try:
        with Image.open(io.BytesIO(content), formats=_formats()):
            return True
    except Exception:  # as above
        return False


def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _READ if name in Image.OPEN)


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
    profile = picture.info.get("icc_profile") if picture.mode not in _SRGB_MODES else None
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


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Upright, as EXIF's orientation says (Exif 2.32, tag 274)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _split(pixels: NDArray[np.uint16]) -> tuple[Pixels, Pixels | None]:
    channels = pixels.shape[2]
    colour = pixels[..., 0] if channels <= 2 else pixels[..., :3]
    return np.ascontiguousarray(colour), as_alpha(pixels[..., -1]) if channels in (2, 4) else None


def as_alpha(values: Pixels) -> Pixels | None:
    """Values of an alpha channel; None where all is opaque."""
    opaque = np.iinfo(values.dtype).max if np.issubdtype(values.dtype, np.integer) else 1
    return None if values.min() == opaque else np.ascontiguousarray(values)


def pixels_of(picture: Image.Image) -> tuple[Pixels, Pixels | None]:
    """Colour and alpha, as of ``Picture``, of a picture that Pillow holds.

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
    if picture.mode in _SRGB_MODES:
        picture = _to_srgb(picture)
    if picture.mode in ("F", "HSV"):
        raise UserError(f"is of a kind that cannot be read ({picture.mode}); save it with 8 or 16 bits a channel")
    if picture.has_transparency_data:
        gray = picture.mode in ("L", "LA", "La", "1")
        pixels = np.asarray(picture.convert("LA" if gray else "RGBA"))
        colour = pixels[..., 0] if gray else pixels[..., :3]
        return np.ascontiguousarray(colour), as_alpha(pixels[..., -1])
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L", "LA") else "RGB")), None


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
