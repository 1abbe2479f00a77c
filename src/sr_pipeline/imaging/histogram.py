"""Histogram matching as post-processing."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.imaging.matching_curve import Distribution, Scale, matched_values
from sr_pipeline.imaging.types import RgbImage

Space = Literal["rgb", "ycbcr", "chroma"]
"""Which channels are matched: red, green and blue; luma and chroma; or chroma alone, which leaves luma as it is."""

# ITU-R BT.601, full range as in JFIF: R'G'B' (0-255) to Y'CbCr around 0, 0.
_TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_FROM_YCBCR = np.linalg.inv(_TO_YCBCR)
_EIGHT_BITS, _CHROMA = Scale(0, 255), Scale(-127.5, 127.5)
_ROWS = 256  # of a large picture that are handled at once
_BLOCK = 4  # pixels: the mean of as many in each direction is as soft as the pixels of the input


def match_to_input(sr: RgbImage, reference: RgbImage, space: Space = "rgb", strength: float = 1.0) -> RgbImage:
    """Give a super-resolved picture the histograms of the low-resolution input, channel by channel.

    The input is the reference, never the original: it is all there is when a picture is really enlarged.
    Histogram specification, except where ranks are uncertain, as in graphics and text: see ``matching_curve``.

    Args:
        sr: super-resolved, (h, w, 3) uint8.
        reference: what it was made from, of any size, (h', w', 3) uint8.
        space: which channels are matched.
        strength: share of the matched picture in the result, the rest is ``sr``; from 0 to 1.

    Returns:
        An image of the shape of ``sr``, rounded to 8 bits.

    Raises:
        ValueError: if ``strength`` is out of range.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength {strength} is not between 0 and 1")
    if space == "rgb" and strength == 1:
        matched = sr.copy()
        match_in_place(matched, reference)
        return matched
    mixed = strength * _MATCHERS[space](sr.astype(np.float64), reference.astype(np.float64)) + (1 - strength) * sr
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def match_in_place(picture: NDArray[Any], reference: NDArray[Any]) -> None:
    """Give a picture, in place, the histograms of another, channel by channel, as ``match_to_input`` does.

    Whole numbers are matched by one table of all values, so that a large picture is never held a second time.

    Args:
        picture: (h, w) or (h, w, channels), uint8, uint16 or floating between 0 and 1; it may be a map of a file.
        reference: of as many channels and the same type.
    """
    if picture.ndim == 3:
        for channel in range(picture.shape[2]):
            match_in_place(picture[..., channel], reference[..., channel])
    elif np.issubdtype(picture.dtype, np.integer):
        _match_by_table(picture, reference)
    else:
        picture[...] = _match_channel(picture, reference, Scale(0, 1))


def _match_by_table(channel: NDArray[Any], reference: NDArray[Any]) -> None:
    peak = np.iinfo(channel.dtype).max
    parts = [slice(top, top + _ROWS) for top in range(0, channel.shape[0], _ROWS)]
    counts, of_means = np.zeros(peak + 1, np.int64), np.zeros(peak + 1, np.int64)
    for part in parts:
        counts += np.bincount(channel[part].ravel(), minlength=peak + 1)
        of_means += np.bincount(np.rint(_block_means(channel[part])).astype(np.int64).ravel(), minlength=peak + 1)
    picture, reduced, wanted = (
        Distribution.of_counts(part) for part in (counts, of_means, np.bincount(reference.ravel(), minlength=peak + 1))
    )
    table = np.zeros(peak + 1, channel.dtype)
    table[picture.values] = np.rint(matched_values(picture, reduced, wanted, Scale(0, peak)))
    for part in parts:
        channel[part] = table[channel[part]]


def _match_channel(channel: NDArray[Any], reference: NDArray[Any], scale: Scale) -> NDArray[np.float64]:
    values, places, counts = np.unique(channel, return_inverse=True, return_counts=True)
    reduced, wanted = (
        Distribution(*np.unique(part, return_counts=True)) for part in (_block_means(channel), reference)
    )
    return matched_values(Distribution(values, counts), reduced, wanted, scale)[places].reshape(channel.shape)


def _block_means(channel: NDArray[Any]) -> NDArray[np.float64]:
    """The picture reduced: means of blocks of ``_BLOCK`` x ``_BLOCK`` pixels, of what is left of them at the edges."""
    sums, pixels = channel.astype(np.float64), np.ones(channel.shape)
    for axis in (0, 1):
        starts = np.arange(0, channel.shape[axis], _BLOCK)
        sums, pixels = (np.add.reduceat(array, starts, axis) for array in (sums, pixels))
    return sums / pixels


def _match_channels(
    image: NDArray[np.float64], reference: NDArray[np.float64], scales: Sequence[Scale] = (_EIGHT_BITS,) * 3
) -> NDArray[np.float64]:
    matched = [_match_channel(image[..., i], reference[..., i], scale) for i, scale in enumerate(scales)]
    return np.stack(matched, axis=-1)


def _match_ycbcr(image: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    scales = (_EIGHT_BITS, _CHROMA, _CHROMA)
    return _match_channels(image @ _TO_YCBCR.T, reference @ _TO_YCBCR.T, scales) @ _FROM_YCBCR.T


def _match_chroma(image: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    converted = image @ _TO_YCBCR.T
    chroma = _match_channels(converted[..., 1:], (reference @ _TO_YCBCR.T)[..., 1:], (_CHROMA, _CHROMA))
    converted[..., 1:] = chroma
    return converted @ _FROM_YCBCR.T


_MATCHERS: dict[Space, Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]] = {
    "rgb": _match_channels,
    "ycbcr": _match_ycbcr,
    "chroma": _match_chroma,
}
