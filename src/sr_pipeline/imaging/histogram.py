"""Histogram matching as post-processing."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.imaging.types import RgbImage

Space = Literal["rgb", "ycbcr", "chroma"]
"""Which channels are matched: red, green and blue; luma and chroma; or chroma alone, which leaves luma as it is."""

# ITU-R BT.601, full range as in JFIF: R'G'B' (0-255) to Y'CbCr around 0, 0.
_TO_YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_FROM_YCBCR = np.linalg.inv(_TO_YCBCR)


def match_to_input(sr: RgbImage, reference: RgbImage, space: Space = "rgb", strength: float = 1.0) -> RgbImage:
    """Give a super-resolved picture the histograms of the low-resolution input, channel by channel.

    The input is the reference, never the original: it is all there is when a picture is really enlarged.
    Gonzalez & Woods, Digital Image Processing, section 3.3 (histogram specification).

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
    # In uint8, scikit-image would truncate instead of round: half a grey level darker on average.
    matched = _MATCHERS[space](sr.astype(np.float64), reference.astype(np.float64))
    mixed = strength * matched + (1 - strength) * sr
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _match_channels(image: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    from skimage.exposure import match_histograms  # slow to import: not at start-up

    matched: NDArray[np.float64] = match_histograms(image, reference, channel_axis=-1)
    return matched


def _match_ycbcr(image: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    return _match_channels(image @ _TO_YCBCR.T, reference @ _TO_YCBCR.T) @ _FROM_YCBCR.T


def _match_chroma(image: NDArray[np.float64], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    converted = image @ _TO_YCBCR.T
    converted[..., 1:] = _match_channels(converted[..., 1:], (reference @ _TO_YCBCR.T)[..., 1:])
    return converted @ _FROM_YCBCR.T


_MATCHERS: dict[Space, Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]] = {
    "rgb": _match_channels,
    "ycbcr": _match_ycbcr,
    "chroma": _match_chroma,
}
