"""Large pictures piece by piece: tiles that overlap by what a function sees around a pixel."""

import math
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

Window = tuple[slice, slice]
"""Rows and columns."""


class Tile(NamedTuple):
    """A part of a picture.

    Attributes:
        seen: what goes into the function: the tile and its surroundings, as far as the picture reaches.
        kept: what the tile answers for; the kept parts of all tiles cover the picture.
    """

    seen: Window
    kept: Window

    @property
    def inside(self) -> Window:
        """``kept``, counted from the corner of ``seen``."""
        return _from_corner(self.kept[0], self.seen[0]), _from_corner(self.kept[1], self.seen[1])


def plan_tiles(shape: tuple[int, ...], kept: Window, edge: int, margin: int) -> list[Tile]:
    """Tiles of one shape for a part of a picture, as few pixels in all as possible.

    At the edges of the picture they are moved inwards, not cut; the last ones may keep again what others keep.

    Args:
        shape: of the picture.
        kept: the part.
        edge: a tile has no more pixels than a square of it.
        margin: how far what is kept lies from where tiles end, unless the picture ends there.
    """

    def seen(axis: int, count: int) -> int:
        return min(shape[axis], math.ceil(_length(kept[axis]) / count) + 2 * margin)

    grids = []
    for rows in range(1, math.ceil(_length(kept[0]) / (edge - 2 * margin)) + 1):
        widest = edge**2 // seen(0, rows)
        if widest >= seen(1, 1):
            grids.append((rows, 1))
        elif widest > 2 * margin:
            grids.append((rows, math.ceil(_length(kept[1]) / (widest - 2 * margin))))
    grid = min(grids, key=lambda grid: math.prod(count * seen(axis, count) for axis, count in enumerate(grid)))
    axes = (_cuts(kept[axis], count, seen(axis, count), shape[axis], margin) for axis, count in enumerate(grid))
    return [Tile((r_seen, c_seen), (r_kept, c_kept)) for (r_seen, r_kept), (c_seen, c_kept) in product(*axes)]


def _cuts(part: slice, count: int, seen: int, limit: int, margin: int) -> Iterator[tuple[slice, slice]]:
    """Along one axis: what each of ``count`` tiles sees, and keeps."""
    size = math.ceil(_length(part) / count)
    for number in range(count):
        first = min(part.start + number * size, part.stop - size)
        corner = min(max(first - margin, 0), limit - seen)
        yield slice(corner, corner + seen), slice(first, first + size)


def _length(part: slice) -> int:
    return int(part.stop - part.start)


def area(window: Window) -> int:
    """Pixels of a window."""
    return _length(window[0]) * _length(window[1])


def _from_corner(part: slice, corner: slice) -> slice:
    return slice(part.start - corner.start, part.stop - corner.start)
