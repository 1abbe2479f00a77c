"""Enlarged pictures on their way to a file: pixels on disk, encoded row by row where the format allows it."""

import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.exif import IPTC, XMP, add_to_tiff, order_of
from sr_pipeline.pictures.fitting import PHOTOSHOP_HEAD, Target, fitted, states_colours
from sr_pipeline.pictures.metadata import Metadata, iptc_resource
from sr_pipeline.pictures.opening import Pixels
from sr_pipeline.pictures.png_chunks import SIGNATURE
from sr_pipeline.pictures.png_texts import chunk, raw_profile, xmp_text

_IN_MEMORY = 64_000_000  # bytes up to which a result is held in memory instead of on disk
_BLOCK = 4_000_000  # bytes that are filtered and compressed at once


SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif", "avif": ".avif"}
"""Formats that are written, and the endings their files get."""

_FORMATS = {suffix: name for name, suffix in SUFFIXES.items()} | {
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".tiff": "tiff",
}
_MAX_EDGE = {"jpeg": 65_500, "webp": 16_383, "avif": 65_535}


_NONE = Metadata()


class Format(NamedTuple):
    """How to write a picture.

    Attributes:
        name: png, jpeg, webp, tiff or avif.
        quality: 1 to 100, of formats with losses.
    """

    name: str
    quality: int


def format_of(path: Path) -> str | None:
    """The format that the name of a file says, None if it says none that is written."""
    return _FORMATS.get(path.suffix.lower())


def check_fits(
    output: Format, size: tuple[int, int], dtype: Any, *, transparent: bool, metadata: Metadata = _NONE
) -> None:
    """Check before the work that a format can hold the result.

    Raises:
        UserError: if it cannot; the message goes on from the name of the file.
    """
    other = "choose the format png or tiff"
    if transparent and output.name == "jpeg":
        raise UserError("is transparent, which JPEG cannot keep; choose the format png or webp")
    if dtype == np.uint16 and output.name not in ("png", "tiff"):
        raise UserError(f"has 16 bits a channel, which {output.name.upper()} cannot keep; {other}")
    if not states_colours(metadata, output.name):
        raise UserError(f"is HDR or of colours that {output.name.upper()} cannot state; choose the format png")
    if max(size) > _MAX_EDGE.get(output.name, max(size)):
        raise UserError(f"becomes {size[0]}x{size[1]}, more than {output.name.upper()} can hold; {other}")


@contextmanager
def output_buffer(shape: tuple[int, int, int], dtype: Any, output: Format, folder: Path) -> Iterator[Pixels]:
    """Room for the pixels of a result: in memory if it is small, else in a file of ``folder`` that is gone at the end.

    Args:
        shape: height, width, channels.
        dtype: uint8 or uint16.
        output: how it will be written; JPEG takes RGB from four channels, of which it leaves one out.
        folder: on a disk with room.

    Raises:
        OSError: if the disk has not the room.
    """
    if output.name == "jpeg" and shape[2] == 3:
        shape = (*shape[:2], 4)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size <= _IN_MEMORY:
        yield np.empty(shape, dtype)
        return
    with tempfile.TemporaryFile(dir=folder, prefix=".sr-pipeline-") as file:
        _take_room(file, size)
        yield np.memmap(file, dtype, "r+", shape=shape)


def _take_room(file: IO[bytes], size: int) -> None:
    """Give a new file so many bytes of its disk: writing to a map that the disk has no room for ends the process.

    Raises:
        OSError: if the disk has not the room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    zeros = memoryview(bytes(_BLOCK))  # macOS and Windows: an empty file of that length would take no room yet
    for start in range(0, size, _BLOCK):
        file.write(zeros[: size - start])
    file.flush()


def write_picture(path: Path, pixels: Pixels, output: Format, metadata: Metadata) -> list[str]:
    """Encode a picture.

    Args:
        path: of the file.
        pixels: (h, w, channels) uint8 or uint16; gray, gray and alpha, RGB, or RGBA; as ``output_buffer`` gives
            them.
        output: in which format; see ``check_fits``.
        metadata: of the picture it was enlarged from.

    Returns:
        What of the metadata is left out, in words that follow "without its".

    Raises:
        OSError: if it cannot be written.
    """
    if output.name == "png":
        with path.open("wb") as file:
            return write_png(file, pixels, metadata)
    metadata, left_out = fitted(metadata, _target(output.name, pixels))
    if output.name == "tiff":
        _write_tiff(path, pixels, metadata)
    else:
        _write_by_pillow(path, pixels, output, metadata)
    return left_out


def _target(name: str, pixels: Pixels) -> Target:
    height, width, channels = pixels.shape
    formats_of_gray = {1: ("png", "jpeg", "tiff", "avif"), 2: ("png", "tiff")}
    return Target(name, (width, height), gray=name in formats_of_gray.get(channels, ()))


def _write_by_pillow(path: Path, pixels: Pixels, output: Format, metadata: Metadata) -> None:
    by_format: dict[str, dict[str, Any]] = {
        "jpeg": {
            "quality": output.quality,
            "subsampling": 0 if output.quality >= 90 else 2,
            "extra": _jpeg_segments(metadata),
        },
        "webp": {"quality": output.quality, "method": 4},
        "avif": {"quality": output.quality},
    }
    options = by_format[output.name]
    if metadata.icc_profile:
        options["icc_profile"] = metadata.icc_profile
    if metadata.exif:
        options["exif"] = b"Exif\0\0" + metadata.exif
    if metadata.xmp:
        options["xmp"] = metadata.xmp
    if metadata.dpi and output.name == "jpeg":
        options["dpi"] = metadata.dpi
    _as_image(pixels, output).save(path, output.name.upper(), **options)


def _jpeg_segments(metadata: Metadata) -> bytes:
    """IPTC and comments as segments of a JPEG file, which Pillow writes none or one of."""
    segments = [(0xFE, comment) for comment in metadata.comments]
    if metadata.iptc:
        segments.insert(0, (0xED, PHOTOSHOP_HEAD + iptc_resource(metadata.iptc)))
    return b"".join(struct.pack(">BBH", 0xFF, kind, len(content) + 2) + content for kind, content in segments)


def _as_image(pixels: Pixels, output: Format) -> Image.Image:
    """Without a copy where Pillow stores pixels as they lie here: gray, and four channels."""
    height, width, channels = pixels.shape
    if channels in (1, 4):
        mode = "L" if channels == 1 else "RGBX" if output.name == "jpeg" else "RGBA"
        return Image.frombuffer(mode, (width, height), pixels, "raw", mode, 0, 1)
    return Image.fromarray(pixels)


def _write_tiff(path: Path, pixels: Pixels, metadata: Metadata) -> None:
    """In strips, without a copy of all pixels; metadata goes to the end of the file, in the byte order of its EXIF."""
    import tifffile

    tifffile.imwrite(
        path,
        pixels[..., 0] if pixels.shape[2] == 1 else pixels,
        byteorder=order_of(metadata.exif or b""),
        photometric="minisblack" if pixels.shape[2] <= 2 else "rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] in (2, 4) else None,
        compression="adobe_deflate",
        software=False,
        iccprofile=metadata.icc_profile,
        resolution=metadata.dpi,
        resolutionunit="inch" if metadata.dpi else None,
        metadata=None,
    )
    with path.open("r+b") as file:
        add_to_tiff(file, metadata.exif, {XMP: metadata.xmp, IPTC: metadata.iptc})


_PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels (PNG specification, 11.2.1)


def write_png(file: IO[bytes], pixels: Pixels, metadata: Metadata) -> list[str]:
    """Encode a picture as PNG (W3C recommendation, third edition), a block of rows at a time.

    Args:
        file: to write to.
        pixels: as for ``write_picture``.
        metadata: of the picture it was enlarged from.

    Returns:
        As ``write_picture``.
    """
    height, width, channels = pixels.shape
    depth = pixels.dtype.itemsize * 8
    metadata, left_out = fitted(metadata, _target("png", pixels))
    file.write(SIGNATURE)
    file.write(chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, _PNG_COLOUR_TYPES[channels], 0, 0, 0)))
    for kind, data in _png_chunks(metadata):
        file.write(chunk(kind, data))
    compressor = zlib.compressobj(6)
    for filtered in _filtered_rows(pixels):
        if data := compressor.compress(filtered):
            file.write(chunk(b"IDAT", data))
    file.write(chunk(b"IDAT", compressor.flush()))
    file.write(chunk(b"IEND", b""))
    return left_out


def _png_chunks(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    """Metadata as chunks, of which those about colours come first (PNG specification, 5.6)."""
    if metadata.icc_profile:
        yield b"iCCP", b"icc\0\0" + zlib.compress(metadata.icc_profile)
    for kind, data in metadata.colours:
        if not (kind == b"sRGB" and metadata.icc_profile):  # only one of the two may be there
            yield kind, data
    if metadata.dpi:
        yield b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in metadata.dpi), 1)
    if metadata.exif:
        yield b"eXIf", metadata.exif
    if metadata.xmp:
        yield xmp_text(metadata.xmp)
    if metadata.iptc:
        yield raw_profile(b"iptc", iptc_resource(metadata.iptc))
    yield from metadata.texts


def _filtered_rows(pixels: Pixels) -> Iterator[bytes]:
    """Rows, each less what Paeth predicts of its neighbours (PNG specification, 9.4), which suits photographs."""
    height, width, channels = pixels.shape
    step = channels * pixels.dtype.itemsize  # bytes a pixel
    rows = max(_BLOCK // (width * step), 1)
    above = np.zeros((1, width * step), np.uint8)
    for top in range(0, height, rows):
        block = np.ascontiguousarray(pixels[top : top + rows])
        values = block.astype(block.dtype.newbyteorder(">")).view(np.uint8).reshape(len(block), -1)
        upper = np.concatenate([above, values[:-1]])
        filtered = np.empty((len(values), 1 + width * step), np.uint8)
        filtered[:, 0] = 4
        filtered[:, 1:] = values - _paeth(values, upper, step)
        above = values[-1:]
        yield filtered.tobytes()


def _paeth(values: NDArray[np.uint8], upper: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Of left, upper and upper left neighbour the one nearest to left + upper - upper left."""
    left = np.zeros_like(values)
    left[:, step:] = values[:, :-step]
    corner = np.zeros_like(values)
    corner[:, step:] = upper[:, :-step]
    a, b, c = (part.astype(np.int16) for part in (left, upper, corner))
    to_left, to_upper, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    nearest = np.where(to_upper <= to_corner, upper, corner)
    return np.where((to_left <= to_upper) & (to_left <= to_corner), left, nearest)
