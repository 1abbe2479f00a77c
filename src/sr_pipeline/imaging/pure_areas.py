"""Where a picture has one pure colour all around, and so has its enlargement.

Pure are black, white, and the other colours of which every channel is at an end of the scale. A network, which computes
in real numbers, misses these ends by a level here and there, and they mean something: paper, a blown-out sky, opaque
and transparent. Where 3x3 pixels of the inputs of Set5, Set14 and COCO val are white, the originals are within 0.01
levels of white, and enlargements half a level off.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.imaging.tiling import Window

_ROWS = 64  # of the small picture that are handled at once


def pure_areas(image: NDArray[Any], window: Window) -> NDArray[np.bool_]:
    """Which pixels of a window have a pure colour, and the same as all their neighbours inside the picture.

    >>> image = np.full((2, 5), 255, np.uint8)
    >>> image[0, 0] = 254
    >>> pure_areas(image, (slice(0, 2), slice(0, 4)))
    array([[False, False,  True,  True],
           [False, False,  True,  True]])

    Args:
        image: (h, w) or (h, w, channels), uint8, uint16, or floating between 0 and 1.
        window: the rows and columns that the answer is about; only they and their neighbours are read.

    Returns:
        A mask of the shape of the window.
    """
    rows, columns = (_with_neighbours(part, edge) for part, edge in zip(window, image.shape[:2], strict=True))
    pixels = image[rows, columns]
    pixels = pixels if pixels.ndim == 3 else pixels[..., np.newaxis]
    at_an_end = _all_around(pixels == 0) | _all_around(pixels == peak_of(image))
    inside = tuple(
        slice(part.start - seen.start, part.stop - seen.start)
        for part, seen in zip(window, (rows, columns), strict=True)
    )
    area: NDArray[np.bool_] = np.all(at_an_end, axis=-1)[inside]
    return area


def restore_pure_areas(enlarged: NDArray[Any], image: NDArray[Any], scale: int) -> None:
    """Give an enlarged picture, in place, the pure colours that its input has all around.

    Args:
        enlarged: (scale * h, scale * w) or with channels, of the type of ``image``; it may be a map of a file.
        image: (h, w) or with channels, uint8, uint16, or floating between 0 and 1.
        scale: of the enlargement.
    """
    height, width = image.shape[:2]
    for top in range(0, height, _ROWS):
        rows = slice(top, min(top + _ROWS, height))
        area = pure_areas(image, (rows, slice(0, width)))
        set_pure_areas(enlarged[scale * rows.start : scale * rows.stop], area, image[rows], scale)


def set_pure_areas(enlarged: NDArray[Any], area: NDArray[np.bool_], colours: NDArray[Any], scale: int) -> None:
    """Write the colours of a small picture into an enlarged one where ``area`` says, square by square.

    Args:
        enlarged: (scale * h, scale * w) or with channels.
        area: (h, w).
        colours: (h, w) or with channels, in the units of ``enlarged``.
        scale: of the enlargement.
    """
    for row, column in np.ndindex(scale, scale) if area.any() else ():
        enlarged[row::scale, column::scale][area] = colours[area]


def peak_of(image: NDArray[Any]) -> int:
    """The value of white: the greatest of an integer type, or 1."""
    return np.iinfo(image.dtype).max if np.issubdtype(image.dtype, np.integer) else 1


def _with_neighbours(part: slice, edge: int) -> slice:
    """A part of an axis with a pixel more at each end, unless the picture ends there."""
    return slice(max(part.start - 1, 0), min(part.stop + 1, edge))


def _all_around(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where the 3x3 pixels around are true in (h, w, channels); there are none beyond the edge."""
    height, width = mask.shape[:2]
    padded = np.pad(mask, ((1, 1), (1, 1), (0, 0)), constant_values=True)
    rows = padded[:height] & padded[1:-1] & padded[2:]
    around: NDArray[np.bool_] = rows[:, :width] & rows[:, 1:-1] & rows[:, 2:]
    return around
