"""What the page keeps of a picture: one that browsers show, and the name of its result."""

from pathlib import Path

import numpy as np

from sr_pipeline.errors import UserError
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.pictures.reading import Picture
from sr_pipeline.pictures.writing import Format, check_fits, format_of, write_png

_LONGEST_STEM = 200  # bytes; the ending and what is added come to it


def write_before(file: Path, picture: Picture) -> None:
    """The picture, upright and of a kind that every browser shows, with its transparency and its colours' meaning."""
    channels = [picture.colour[..., np.newaxis] if picture.colour.ndim == 2 else picture.colour]
    channels += [] if picture.alpha is None else [picture.alpha[..., np.newaxis]]
    pixels = np.concatenate(channels, axis=-1)
    with file.open("wb") as stream:
        write_png(stream, pixels, picture.metadata.of_colours())


def result_name(name: str, picture: Picture) -> str:
    """The name of a result: as the picture's, but a PNG file where the page could not show or JPEG not hold it.

    Browsers show neither TIFF nor 16 bits; JPEG has no transparency, and like WebP a longest edge.
    """
    plain = picture.alpha is None and picture.colour.dtype == np.uint8
    kind = format_of(Path(name))
    suffix = Path(name).suffix if kind in ("jpeg", "webp") and plain and _fits(kind, picture) else ".png"
    return f"{_cut_name(Path(name).stem) or 'picture'}_x4{suffix}"


def _fits(kind: str, picture: Picture) -> bool:
    width, height = (SCALE * edge for edge in picture.size)
    try:
        check_fits(
            Format(kind, 95),
            (width, height),
            picture.colour.dtype,
            transparent=picture.alpha is not None,
            metadata=picture.metadata,
        )
    except UserError:
        return False
    return True


def _cut_name(stem: str) -> str:
    """A name from a browser as one that every file system takes: file systems count bytes, not characters."""
    printable = "".join(character for character in stem if character.isprintable())
    return printable.encode("utf-8", "ignore")[:_LONGEST_STEM].decode("utf-8", "ignore").strip()
