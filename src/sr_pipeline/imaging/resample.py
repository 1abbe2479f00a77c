"""Making the low-resolution input, and the enlargements every network has to beat."""

import numpy as np
from PIL import Image

from sr_pipeline.imaging.types import RgbImage


def crop_to_multiple(image: RgbImage, multiple: int) -> RgbImage:
    """Cut the bottom and right edges so that height and width are multiples of ``multiple``.

    >>> crop_to_multiple(np.zeros((9, 14, 3), np.uint8), 4).shape
    (8, 12, 3)
    """
    height, width = image.shape[:2]
    return image[: height - height % multiple, : width - width % multiple]


def downsample(image: RgbImage, scale: int) -> RgbImage:
    """Reduce ``image`` by ``scale`` with an antialiased bicubic filter, rounded to 8 bits.

    Pillow widens the bicubic kernel (a = -0.5) by the factor of reduction, as MATLAB's ``imresize`` does;
    the published super-resolution figures rest on that. OpenCV and TensorFlow do not by default, which
    shifts PSNR by whole decibels.

    Raises:
        ValueError: if height or width is not a multiple of ``scale``: the pixel grids would not align.
    """
    return np.asarray(reduce_picture(Image.fromarray(image), scale))


def reduce_picture(picture: Image.Image, scale: int) -> Image.Image:
    """``downsample`` for a Pillow image: no copy into an array and back, for loops over many crops.

    Raises:
        ValueError: if height or width is not a multiple of ``scale``.
    """
    width, height = picture.size
    if height % scale or width % scale:
        raise ValueError(f"an image of {width}x{height} pixels is not a multiple of {scale}; crop it first")
    return picture.resize((width // scale, height // scale), Image.Resampling.BICUBIC)


def enlarge(image: RgbImage, scale: int, method: str) -> RgbImage:
    """Enlarge ``image`` by ``scale`` with ``method`` 'nearest' or 'bicubic', rounded to 8 bits."""
    filters = {"nearest": Image.Resampling.NEAREST, "bicubic": Image.Resampling.BICUBIC}
    height, width = image.shape[:2]
    return _resize(image, (height * scale, width * scale), filters[method])


def _resize(image: RgbImage, shape: tuple[int, int], resampling: Image.Resampling) -> RgbImage:
    return np.asarray(Image.fromarray(image).resize((shape[1], shape[0]), resampling))
