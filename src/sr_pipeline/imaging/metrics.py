"""Formulas of distortion and colour metrics, by the protocol of the super-resolution literature.

A border of ``scale`` pixels is removed on each side; Y is the luma of ITU-R BT.601 in its studio range
16–235, not rounded (what MATLAB's ``rgb2ycbcr`` gives before quantization).
"""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.imaging.resample import downsample
from sr_pipeline.imaging.types import RgbImage

Reduction = Callable[[RgbImage, int], RgbImage]
"""Reduces a picture by a scale."""

_RANGE = 255.0
# Wang et al. 2004, section IV: K1 = 0.01, K2 = 0.03.
_C1, _C2 = (0.01 * _RANGE) ** 2, (0.03 * _RANGE) ** 2
_WINDOW = 11
_WEIGHT_BITS = 8  # of daala's kernels, whose weights are whole numbers that add up to 256

LUMA = np.array([65.481, 128.553, 24.966])
"""Weights of R, G and B in [0, 1] in Y of ITU-R BT.601 (equation of section 2.5.1), which adds 16 to their sum."""


def luma(image: RgbImage) -> NDArray[np.float64]:
    """Y of ITU-R BT.601 (equation of section 2.5.1, studio range), shape (h, w), values 16–235.

    >>> luma(np.full((1, 1, 3), 255, np.uint8)).round(6)
    array([[235.]])
    """
    return 16.0 + image.astype(np.float64) @ LUMA / 255.0


PSNR_LIMIT = 10 * np.log10(12 * _RANGE**2)
"""58.92 dB: of a picture that differs from the original by nothing but rounding to 8 bits, an error of variance 1/12
(Bennett 1948, Bell System Technical Journal 27, section 2). Nearer than that, 8-bit pictures do not tell."""


def limited_psnr(reference: NDArray, image: NDArray) -> float:
    """``psnr``, at most ``PSNR_LIMIT``: defined for equal pictures too, so that means over pictures are."""
    return min(psnr(reference, image), float(PSNR_LIMIT))


def psnr(reference: NDArray, image: NDArray) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 255; infinite for equal images."""
    error = float(np.mean(np.square(np.subtract(reference, image, dtype=np.float64))))
    return 10 * np.log10(_RANGE**2 / error) if error else float("inf")


def smallest_edge(border: int) -> int:
    """Pixels that a picture needs in each direction to be measured: a window of SSIM inside the border."""
    return _WINDOW + 2 * border


def is_gray(image: RgbImage) -> bool:
    """Whether red, green and blue are equal everywhere, whatever the mode of the file was."""
    return bool((image == image[..., :1]).all())


class Original:
    """A high-resolution original that enlarged pictures are compared with.

    What does not depend on the enlarged picture is computed once.

    Args:
        hr: (h, w, 3) uint8; h and w are multiples of ``scale``.
        scale: of the reduction; as many pixels are left out at each edge.
        raw_gray: score Y on the full range 0–255 of a gray picture, whose Y is then its gray values.
        lr: the low-resolution input, (h / scale, w / scale, 3) uint8; none: ``reduction`` of ``hr``.
        reduction: how pictures are reduced by ``scale``.

    Raises:
        ValueError: if nothing wider than the SSIM window is left inside the border.
    """

    def __init__(
        self,
        hr: RgbImage,
        scale: int,
        *,
        raw_gray: bool = False,
        lr: RgbImage | None = None,
        reduction: Reduction = downsample,
    ) -> None:
        if min(hr.shape[:2]) < smallest_edge(scale):
            raise ValueError(
                f"an image of shape {hr.shape} is too small to measure: needs {smallest_edge(scale)} pixels"
            )
        self.hr = hr
        self.scale = scale
        self.raw_gray = raw_gray
        self._lr = lr
        self._reduction = reduction

    @cached_property
    def lr(self) -> RgbImage:
        """The low-resolution input, (h / scale, w / scale, 3) uint8."""
        return self.reduce(self.hr) if self._lr is None else self._lr

    def reduce(self, image: RgbImage) -> RgbImage:
        """``image`` reduced by the scale, as the low-resolution input was made."""
        return self._reduction(image, self.scale)

    def inner(self, image: NDArray) -> NDArray:
        """``image`` without its border."""
        inner = (slice(self.scale, image.shape[0] - self.scale), slice(self.scale, image.shape[1] - self.scale))
        return image[inner]

    def luma_of(self, image: RgbImage) -> NDArray[np.float64]:
        """Y inside the border."""
        y = luma(self.inner(image))
        return (y - 16.0) * (255.0 / 219.0) if self.raw_gray else y

    @cached_property
    def y(self) -> NDArray[np.float64]:
        """Y of the original inside the border."""
        return self.luma_of(self.hr)

    @cached_property
    def ssim_y(self) -> "SsimReference":
        """SSIM of Wang et al. on Y."""
        return wang_ssim(self.y)

    @cached_property
    def ssim_rgb(self) -> "SsimReference":
        """SSIM of Wang et al. on red, green and blue."""
        return wang_ssim(_planes(self.inner(self.hr)))

    @cached_property
    def ssim_daala(self) -> "SsimReference":
        """SSIM of the daala tool on Y."""
        return daala_ssim(self.y)

    @cached_property
    def lab(self) -> NDArray[np.float32]:
        """CIE L*a*b* of the original inside the border."""
        return _lab(self.inner(self.hr))


class Enlarged:
    """An enlarged picture, and what several metrics need of it.

    Args:
        image: (h, w, 3) uint8.
        original: what it is compared with.

    Raises:
        ValueError: if the sizes differ.
    """

    def __init__(self, image: RgbImage, original: Original) -> None:
        if original.hr.shape != image.shape:
            raise ValueError(f"cannot compare images of shapes {original.hr.shape} and {image.shape}")
        self.image = image
        self.inner = original.inner(image)
        self._original = original

    @cached_property
    def y(self) -> NDArray[np.float64]:
        """Y inside the border."""
        return self._original.luma_of(self.image)

    @property
    def planes(self) -> NDArray[np.float64]:
        """Red, green and blue inside the border, (3, h, w)."""
        return _planes(self.inner)


def consistency(original: Original, enlarged: Enlarged) -> float:
    """PSNR in dB between the input and the reduction of the enlarged picture: is what was known still there?

    One pixel of the input is left out at each edge: the border that the other metrics leave out, reduced.
    """
    inner = (slice(1, -1), slice(1, -1))
    return limited_psnr(original.lr[inner], original.reduce(enlarged.image)[inner])


def ciede2000(original: Original, enlarged: Enlarged) -> float:
    """Mean colour difference Delta E 00 in CIE L*a*b*: Sharma et al. 2005, equations 2–22."""
    from skimage.color import deltaE_ciede2000

    return float(np.mean(deltaE_ciede2000(original.lab, _lab(enlarged.inner))))


class SsimReference:
    """One side of a structural similarity index, to compare others with.

    Wang et al. 2004, "Image Quality Assessment", IEEE TIP 13(4), equation 13, averaged over positions by ``weights``.

    Args:
        image: (..., h, w), values 0–255.
        blur: weighted means around each position.
        weights: of positions, of the shape that ``blur`` gives; None: equal ones.
    """

    def __init__(
        self,
        image: NDArray[np.float64],
        blur: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        self._image = image
        self._blur = blur
        self._weights = weights
        self._mean = blur(image)
        self._variance = blur(image * image) - self._mean**2

    def __call__(self, image: NDArray[np.float64]) -> float:
        """The mean index of ``image``, of the same shape; 1 for an equal one."""
        mean = self._blur(image)
        product = self._mean * mean
        covariance = self._blur(self._image * image) - product
        variance = self._blur(image * image) - mean**2
        similarity = (2 * product + _C1) * (2 * covariance + _C2)
        similarity /= (self._mean**2 + mean**2 + _C1) * (self._variance + variance + _C2)
        return float(np.average(similarity, weights=self._weights))


def wang_ssim(image: NDArray[np.float64]) -> SsimReference:
    """The usual SSIM: a Gaussian window of 11x11, sigma 1.5, at all positions where it fits whole.

    Args:
        image: (..., h, w), values 0–255; of several planes the mean is taken.
    """
    kernel = np.exp(-0.5 * (np.arange(-(_WINDOW // 2), _WINDOW // 2 + 1) / 1.5) ** 2)
    kernel /= kernel.sum()
    margin = slice(_WINDOW // 2, -(_WINDOW // 2))
    return SsimReference(image, lambda x: _blur(x, kernel)[..., margin, margin])


def daala_ssim(image: NDArray[np.float64]) -> SsimReference:
    """SSIM as ``dump_ssim`` of the daala video codec's tools computes it, which Ledig et al. 2017 used.

    The window's sigma is 1.5 pixels for each 256 pixels of height, its weights are 8-bit whole numbers, and at the
    edges of the picture it is cut; positions count by the weight inside. (daala, tools/dump_ssim.c: ``calc_ssim``.)
    The tool reads 8-bit video; not rounded, Y gives the published figures of bicubic: 0.8211 on Set5.

    Args:
        image: Y of (h, w).
    """
    height, width = image.shape
    kernel = _daala_kernel(1.5 * height / 256, min(height, width))
    total = _blur(np.ones_like(image), kernel)
    return SsimReference(image, lambda x: _blur(x, kernel) / total, total)


def _lab(image: RgbImage) -> NDArray[np.float32]:
    """CIE L*a*b* (D65, 2 degrees) of sRGB."""
    from skimage.color import rgb2lab

    lab: NDArray[np.float32] = rgb2lab(image.astype(np.float32) / np.float32(255))
    return lab


def _planes(image: RgbImage) -> NDArray[np.float64]:
    return np.ascontiguousarray(np.moveaxis(image, -1, 0), np.float64)


def _blur(image: NDArray[np.float64], kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlate rows and columns with ``kernel``; outside the picture are zeros."""
    from scipy.ndimage import correlate1d

    by_rows: NDArray[np.float64] = correlate1d(image, kernel, axis=-1, mode="constant")
    return correlate1d(by_rows, kernel, axis=-2, mode="constant")


def _daala_kernel(sigma: float, max_length: int) -> NDArray[np.float64]:
    """Daala's ``gaussian_filter_init``: as long as the first weight cut off is at least half of one."""
    one = 1 << _WEIGHT_BITS
    error = np.sqrt(0.5 * np.pi) * sigma / one
    length = min(int(sigma * np.sqrt(-2 * np.log(error))) if error < 1 else 0, max_length - 1)
    offsets = np.arange(1, length + 1)
    side = np.floor(one / (np.sqrt(2 * np.pi) * sigma) * np.exp(-0.5 * (offsets / sigma) ** 2) + 0.5)
    return np.concatenate([side[::-1], [one - 2 * side.sum()], side])
