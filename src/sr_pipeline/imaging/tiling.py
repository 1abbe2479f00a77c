"""Large pictures piece by piece: tiles that overlap by what a function sees around a pixel."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from sr_pipeline.imaging.types import RgbImage

Window = tuple[slice, slice]
"""Rows and columns."""


class Tile(NamedTuple):
    """A part of a picture.

    Attributes:
        seen: what goes into the function: the tile and its surroundings, as far as the picture reaches.
        kept: what the tile answers for; the kept parts of all tiles cover the picture once.
    """

    seen: Window
    kept: Window

    @property
    def inside(self) -> Window:
        """``kept``, counted from the corner of ``seen``."""
        return _from_corner(self.kept[0], self.seen[0]), _from_corner(self.kept[1], self.seen[1])


def plan_tiles(shape: tuple[int, int], size: int, margin: int) -> Iterator[Tile]:
    """Tiles of a picture, row by row.

    Args:
        shape: height and width of the picture.
        size: largest edge of ``seen``.
        margin: how far around a pixel the function sees. No tile ends nearer to what is kept of it, but at the
            edges of the picture, so that nothing kept depends on where tiles end.

    Raises:
        ValueError: if a tile has nothing left between its margins.
    """
    if size <= 2 * margin:
        raise ValueError(f"tiles of {size} pixels keep nothing between margins of {margin}; they need {2 * margin + 1}")
    for rows in _cuts(shape[0], size, margin):
        for columns in _cuts(shape[1], size, margin):
            kept = (rows, columns)
            seen = tuple(
                slice(max(cut.start - margin, 0), min(cut.stop + margin, length))
                for cut, length in zip(kept, shape, strict=True)
            )
            yield Tile((seen[0], seen[1]), kept)


def enlarge_in_tiles(
    image: RgbImage, function: Callable[[RgbImage], RgbImage], scale: int, size: int, margin: int
) -> RgbImage:
    """Enlarge a picture tile by tile; memory grows with the tile, but for input and output.

    Args:
        image: (h, w, 3) uint8.
        function: enlarges a picture by ``scale``.
        scale: factor.
        size: largest edge of what ``function`` is given.
        margin: how far around an input pixel ``function`` sees; the result is then that of the whole picture.

    Returns:
        (scale * h, scale * w, 3) uint8.
    """
    output = np.empty((image.shape[0] * scale, image.shape[1] * scale, image.shape[2]), np.uint8)
    for tile in plan_tiles((image.shape[0], image.shape[1]), size, margin):
        output[_scaled(tile.kept, scale)] = function(image[tile.seen])[_scaled(tile.inside, scale)]
    return output


def _cuts(length: int, size: int, margin: int) -> Iterator[slice]:
    """Parts of about equal length that, with their margins, are at most ``size`` long."""
    if length <= size:
        yield slice(0, length)
        return
    count = -(-length // (size - 2 * margin))
    edges = [number * length // count for number in range(count + 1)]
    yield from (slice(first, last) for first, last in pairwise(edges))


def _from_corner(part: slice, corner: slice) -> slice:
    return slice(part.start - corner.start, part.stop - corner.start)


def _scaled(window: Window, scale: int) -> Window:
    rows, columns = (slice(part.start * scale, part.stop * scale) for part in window)
    return rows, columns
