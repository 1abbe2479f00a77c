"""From picture file to enlarged picture file."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.histogram import match_in_place
from sr_pipeline.imaging.pure_areas import restore_pure_areas
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.pictures.opening import Pixels
from sr_pipeline.pictures.reading import Picture, read_picture
from sr_pipeline.pictures.writing import Format, check_fits, format_of, output_buffer, write_picture
from sr_pipeline.storage import atomic_write

Progress = Callable[[int, int], None]
"""Receives how much is done, and of how much."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_NOWHERE = np.int32(1 << 28)  # further than any picture is wide
_ROWS = 256  # or columns of a picture that are handled at once where it is gone through as a whole


class Upscale(Protocol):
    """Enlarges pixels by ``SCALE`` into an array, tile by tile."""

    def __call__(self, image: Pixels, output: Any, progress: Progress) -> Any:
        """(h, w, 3) to ``output`` of (4h, 4w, 3), of the same type."""


@dataclass(frozen=True)
class Options:
    """How pictures are enlarged and written.

    Attributes:
        quality: 1 to 100, of formats with losses.
        match_histogram: give the result the colours' histograms of the picture.
        overwrite: replace what is there.
    """

    quality: int = 95
    match_histogram: bool = False
    overwrite: bool = False


class Enlarged(NamedTuple):
    """What became of a picture.

    Attributes:
        size: (width, height).
        seconds: that it took.
        left_out: what the file could not hold, in words that follow "without its".
    """

    size: tuple[int, int]
    seconds: float
    left_out: list[str]


def enlarge_file(source: Path, target: Path, upscale: Upscale, options: Options, progress: Progress) -> Enlarged:
    """Enlarge one file; the target appears whole or not at all.

    Args:
        source: a picture file.
        target: where the result goes; its ending says the format, its folder is made.
        upscale: enlarges pixels.
        options: how.
        progress: receives progress.

    Raises:
        UserError: if it cannot be done; the message goes on from the name of the file.
    """
    started = time.perf_counter()
    if target.exists() and not options.overwrite:
        raise UserError(f"is not enlarged: {target} exists already (add --overwrite to replace it)")
    picture = read_picture(source)
    output = Format(format_of(target) or "png", options.quality)
    width, height = (SCALE * edge for edge in picture.size)
    transparent = picture.alpha is not None
    check_fits(output, (width, height), picture.colour.dtype, transparent=transparent, metadata=picture.metadata)
    target = target.resolve() if target.is_symlink() else target  # a link stays, and leads to the new file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with output_buffer(result_shape(picture), picture.colour.dtype, output, target.parent) as pixels:
            enlarge(picture, pixels, upscale, progress, match_histogram=options.match_histogram)
            with atomic_write(target) as partial:
                left_out = write_picture(partial, pixels, output, picture.metadata)
    except OSError as error:
        raise UserError(f"cannot be written to {target} ({error.strerror or error})") from error
    return Enlarged((width, height), time.perf_counter() - started, [*picture.left_out, *left_out])


def result_shape(picture: Picture) -> tuple[int, int, int]:
    """(4h, 4w, channels) of a picture enlarged: gray or RGB, then alpha if it has one."""
    width, height = (SCALE * edge for edge in picture.size)
    return height, width, (1 if picture.colour.ndim == 2 else 3) + (picture.alpha is not None)


def enlarge(
    picture: Picture, pixels: Pixels, upscale: Upscale, progress: Progress, *, match_histogram: bool = False
) -> None:
    """Enlarge a picture into ``pixels``, (4h, 4w, channels): gray or RGB, then alpha if it has one."""
    parts = 1 if picture.alpha is None else 2

    def part_progress(part: int) -> Progress:
        return lambda done, total: progress(part * total + done, parts * total)

    colour = picture.colour if picture.alpha is None else _spread_under(picture.colour, picture.alpha)
    if colour.ndim == 2:
        upscale(_as_rgb(colour), _GrayChannel(pixels[..., 0]), part_progress(0))
    else:
        upscale(colour, pixels[..., :3], part_progress(0))
    if match_histogram:
        enlarged = pixels[..., 0] if colour.ndim == 2 else pixels[..., :3]
        match_in_place(enlarged, colour)
        restore_pure_areas(enlarged, colour, SCALE)
    if picture.alpha is not None:
        upscale(_as_rgb(picture.alpha), _GrayChannel(pixels[..., -1]), part_progress(1))


def _as_rgb(gray: Pixels) -> Pixels:
    return np.broadcast_to(gray[..., np.newaxis], (*gray.shape, 3))


class _GrayChannel:
    """An array (h, w) that takes RGB as one of (h, w, 3) would, and keeps its luma."""

    def __init__(self, channel: Pixels) -> None:
        self._channel = channel
        self.dtype = channel.dtype
        self.shape = (*channel.shape, 3)

    def __getitem__(self, window: Any) -> "_GrayChannel":
        return _GrayChannel(self._channel[window])

    def __setitem__(self, window: Any, rgb: Pixels) -> None:
        luma = rgb.astype(np.float32) @ _LUMA
        whole = np.issubdtype(self.dtype, np.integer)
        self._channel[window] = (np.rint(luma) if whole else np.minimum(luma, 1)).astype(self.dtype)


def _spread_under(colour: Pixels, alpha: Pixels) -> Pixels:
    """Give pixels that cannot be seen the colour of the nearest in their row or column that can.

    What files hold there is anything, mostly black or white; a network that mixes neighbours would draw it as a halo
    around what is seen. Rows and columns are enough, and SciPy, which knows true distances, is half as large again as
    all else that enlarging needs.
    """
    hidden = alpha == 0
    if hidden.all():
        return colour
    while hidden.any():  # at most twice: first every row and column in which something is seen is filled
        colour, hidden = _spread_once(colour, hidden)
    return colour


def _spread_once(colour: Pixels, hidden: NDArray[np.bool_]) -> tuple[Pixels, NDArray[np.bool_]]:
    """Hidden pixels with the colour of the nearest seen one, and which are hidden still."""
    height, width = hidden.shape
    filled, still = np.empty_like(colour), np.empty_like(hidden)
    upright = np.empty(hidden.shape, np.int32)
    for left in range(0, width, _ROWS):
        part = slice(left, left + _ROWS)
        upright[:, part] = _nearest_seen(hidden[:, part].T).T
    columns = np.arange(width, dtype=np.int32)
    for top in range(0, height, _ROWS):
        part = slice(top, top + _ROWS)
        rows = np.arange(height, dtype=np.int32)[part, np.newaxis]
        row, column = upright[part], _nearest_seen(hidden[part])
        down, across = np.abs(row - rows), np.abs(column - columns)
        still[part] = np.minimum(down, across) >= width + height
        keep = down > across
        source = np.where(keep | still[part], rows, row), np.where(keep & ~still[part], column, columns)
        filled[part] = colour[source]
    return filled, still


def _nearest_seen(hidden: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Along each row, the index of the nearest pixel that is not hidden; ``-_NOWHERE`` if all are."""
    own = np.arange(hidden.shape[1], dtype=np.int32)
    before = np.maximum.accumulate(np.where(hidden, -_NOWHERE, own), axis=1)
    after = np.minimum.accumulate(np.where(hidden, 2 * _NOWHERE, own)[:, ::-1], axis=1)[:, ::-1]
    return np.where(own - before <= after - own, before, after)
