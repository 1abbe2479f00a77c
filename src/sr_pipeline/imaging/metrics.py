"""Distortion measures, by the protocol of the super-resolution literature.

A border of ``scale`` pixels is removed on each side; Y is the luma of ITU-R BT.601 in its studio range
16–235, not rounded (what MATLAB's ``rgb2ycbcr`` gives before quantization).
"""

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.imaging.types import RgbImage


def luma(image: RgbImage) -> NDArray[np.float64]:
    """Y of ITU-R BT.601 (equation of section 2.5.1, studio range), shape (h, w), values 16–235.

    >>> luma(np.full((1, 1, 3), 255, np.uint8)).round(6)
    array([[235.]])
    """
    return 16.0 + image.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255.0


def measure(reference: RgbImage, image: RgbImage, border: int) -> dict[str, float]:
    """Compare ``image`` with ``reference``, both (h, w, 3) uint8.

    Args:
        reference: the high-resolution original.
        image: the same picture, enlarged.
        border: pixels left out at each edge.

    Returns:
        ``psnr_y``, ``psnr_rgb`` in dB (infinite for equal images) and ``ssim_y``, ``ssim_rgb`` in [-1, 1].
        SSIM: Wang et al. 2004, IEEE TIP 13(4), equation 13, Gaussian window of 11x11, sigma 1.5.

    Raises:
        ValueError: if the shapes differ or nothing wider than the SSIM window is left inside the border.
    """
    if reference.shape != image.shape:
        raise ValueError(f"cannot compare images of shapes {reference.shape} and {image.shape}")
    if min(reference.shape[:2]) - 2 * border < 11:
        raise ValueError(f"an image of shape {reference.shape} is too small to measure: needs {11 + 2 * border} pixels")
    inner = (slice(border, reference.shape[0] - border), slice(border, reference.shape[1] - border))
    reference, image = reference[inner], image[inner]
    reference_y, image_y = luma(reference), luma(image)
    return {
        "psnr_y": psnr(reference_y, image_y),
        "ssim_y": ssim(reference_y, image_y),
        "psnr_rgb": psnr(reference, image),
        "ssim_rgb": ssim(reference, image),
    }


def psnr(reference: NDArray, image: NDArray) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 255; infinite for equal images."""
    from skimage.metrics import peak_signal_noise_ratio  # takes 2 s to import: not at start-up

    if np.array_equal(reference, image):
        return float("inf")
    return float(peak_signal_noise_ratio(reference, image, data_range=255))


def ssim(reference: NDArray, image: NDArray) -> float:
    """Mean structural similarity over an 11x11 Gaussian window (sigma 1.5), for a range of 255."""
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(
            reference,
            image,
            data_range=255,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            channel_axis=-1 if reference.ndim == 3 else None,
        )
    )
