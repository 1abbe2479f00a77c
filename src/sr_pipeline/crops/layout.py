"""Which crops are cut from which photographs, and what they contain."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageStat

from sr_pipeline.imaging.resample import reduce_picture


@dataclass(frozen=True)
class CropLayout:
    """The parameters that decide the content of the records."""

    seed: int
    crop_size: int
    crops_per_image: int
    scale: int
    min_contrast: float = 0

    @property
    def lr_size(self) -> int:
        """Edge of the low-resolution crop in pixels."""
        return self.crop_size // self.scale


def crop_corners(seed: int, image_id: int, count: int, shape: tuple[int, int], size: int) -> list[tuple[int, int]]:
    """Top left corners (row, column) of ``count`` square crops, uniform over the image.

    Crop k depends only on seed, image id and k: a larger ``count`` begins with the crops of a smaller one, and
    neither other images nor the order of work matters.

    Raises:
        ValueError: if the image, ``shape`` = (height, width), is smaller than ``size``.

    >>> crop_corners(0, 7, 3, (96, 96), 96)
    [(0, 0), (0, 0), (0, 0)]
    """
    height, width = shape
    if min(height, width) < size:
        raise ValueError(f"a crop of {size} pixels does not fit into an image of {width}x{height}")
    corners = []
    for k in range(count):
        rng = np.random.default_rng([seed, image_id, k])
        corners.append((int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))))
    return corners


def cut_pairs(
    picture: Image.Image, corners: list[tuple[int, int]], size: int, scale: int, min_contrast: float = 0
) -> Iterator[tuple[Image.Image, Image.Image]]:
    """Yield (high-resolution crop, its ``scale`` times smaller bicubic reduction) for each corner.

    The reduction is made from the crop, not cut from a reduced image, so nothing outside the crop affects it.

    Args:
        picture: 8-bit RGB.
        corners: top left corners (row, column).
        size: edge of the crops in pixels.
        scale: factor of the reduction.
        min_contrast: crops with less than this contrast (see ``contrast``) are left out.
    """
    for top, left in corners:
        crop = picture.crop((left, top, left + size, top + size))
        if min_contrast <= 0 or contrast(crop) >= min_contrast:
            yield crop, reduce_picture(crop, scale)


def contrast(picture: Image.Image) -> float:
    """Standard deviation of luma in gray levels: 0 for a flat picture, at most 127.5."""
    return float(ImageStat.Stat(picture.convert("L")).stddev[0])


def shard_of(image_id: int, shards: int) -> int:
    """The shard of an image's crops: a hash of its id, so that it never depends on other images."""
    digest = hashlib.sha256(str(image_id).encode()).digest()
    return int.from_bytes(digest[:8], "big") % shards
