"""NIQE, which judges a picture without an original: how far its statistics are from those of natural photographs.

Mittal, Soundararajan & Bovik 2013, "Making a 'completely blind' image quality analyzer", IEEE Signal Processing Letters
20(3), with the authors' model of natural photographs. Less is more natural.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.imaging.matlab import resize_axis
from sr_pipeline.imaging.metrics import luma
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.packaged import NIQE, packaged_weights

_BLOCK = 96  # pixels; the authors' model was made from blocks of this size
_FEATURES = 18  # of a block at one scale
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # right, below, and both diagonals: section II-C


def niqe(image: RgbImage, border: int = 0) -> float:
    """NIQE of a picture, on Y of BT.601 rounded to whole numbers, as tables of super-resolution have it.

    Args:
        image: (h, w, 3) uint8.
        border: pixels left out at each edge.

    Returns:
        Usually 2 to 10; ``nan`` where fewer than two blocks of 96x96 pixels that are not flat fit in.
    """
    inner = image[border : image.shape[0] - border, border : image.shape[1] - border]
    return niqe_of_luma(np.rint(luma(inner)))


def niqe_of_luma(luma: NDArray[np.float64]) -> float:
    """NIQE of gray values (h, w) from 0 to 255: equation 10 of the paper."""
    rows, columns = (edge // _BLOCK for edge in luma.shape)
    if rows * columns < 2:
        return float("nan")
    plane = luma[: rows * _BLOCK, : columns * _BLOCK]
    half = resize_axis(resize_axis(plane, rows * _BLOCK // 2, 0.5, 0), columns * _BLOCK // 2, 0.5, 1)
    features = np.concatenate([_features(plane, rows, columns), _features(half, rows, columns)], axis=1)
    usable = features[np.isfinite(features).all(axis=1)]
    if len(usable) < 2:
        return float("nan")
    natural_mean, natural_covariance = _natural()
    difference = natural_mean - np.nanmean(np.where(np.isfinite(features), features, np.nan), axis=0)
    pooled = (natural_covariance + np.cov(usable, rowvar=False)) / 2
    return float(np.sqrt(difference @ np.linalg.pinv(pooled) @ difference))


@cache
def _natural() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (36,) and covariance (36, 36) of the authors' features of natural photographs."""
    with np.load(packaged_weights(NIQE), allow_pickle=False) as arrays:
        return arrays["mean"], arrays["covariance"]


def _features(plane: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.float64]:
    """The 18 features of each block, (rows * columns, 18): section II-C."""
    normalized = _normalized(plane)
    height, width = plane.shape[0] // rows, plane.shape[1] // columns
    blocks = normalized.reshape(rows, height, columns, width).swapaxes(1, 2).reshape(-1, height, width)
    alpha, left, right = _asymmetric_gaussian(blocks)
    features = [alpha, (left + right) / 2]
    for shift in _SHIFTS:
        alpha, left, right = _asymmetric_gaussian(blocks * np.roll(blocks, shift, axis=(1, 2)))
        features += [alpha, (right - left) * _ratio(2, 1, alpha), left, right]  # equation 8: its mean
    return np.stack(features, axis=1)


def _normalized(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Locally normalized luminances: equations 1 to 3, under a Gaussian window of 7x7, sigma 7/6, edges repeated."""
    from scipy.ndimage import correlate1d

    kernel = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    kernel /= kernel.sum()

    def blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
        rows: NDArray[np.float64] = correlate1d(values, kernel, axis=0, mode="nearest")
        return correlate1d(rows, kernel, axis=1, mode="nearest")

    mean = blur(plane)
    deviation = np.sqrt(np.abs(blur(plane**2) - mean**2))
    normalized = (plane - mean) / (deviation + 1)
    # In flat areas rounding leaves some +-1e-14, which must not count as values on either side of zero.
    return np.where(np.abs(normalized) < 1e-9, 0.0, normalized)


def _asymmetric_gaussian(
    blocks: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Shape and left and right scale of an asymmetric generalized Gaussian for each block: equation 7, by moments.

    Lasmar, Stitou & Berthoumieu 2009, "Multiscale skewed heavy tailed model for texture analysis", ICIP; the shape is
    the nearest of 0.2, 0.201, … 10. ``nan`` where a block has no values on one side.
    """
    values = blocks.reshape(len(blocks), -1)
    with np.errstate(invalid="ignore", divide="ignore"):
        left, right = (np.sqrt((values**2 * side).sum(axis=1) / side.sum(axis=1)) for side in (values < 0, values > 0))
        skew = left / right
        ratio = np.abs(values).mean(axis=1) ** 2 / (values**2).mean(axis=1)
        ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shapes, ratios = _shape_table()
    alpha = shapes[np.argmin((ratios[np.newaxis] - ratio[:, np.newaxis]) ** 2, axis=1)]
    scale = np.sqrt(_ratio(1, 3, alpha))
    return alpha, left * scale, right * scale


@cache
def _shape_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shapes, and the ratio of moments of each."""
    shapes = np.arange(0.2, 10.001, 0.001)
    return shapes, _ratio(2, 1, shapes) * _ratio(2, 3, shapes)


def _ratio(above: int, below: int, shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gamma(above / shape) / Gamma(below / shape)."""
    from scipy.special import gamma

    quotient: NDArray[np.float64] = gamma(above / shape) / gamma(below / shape)
    return quotient
