"""Opening picture files as 8-bit RGB."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sr_pipeline.imaging.types import RgbImage


def read_rgb(file: Path) -> RgbImage:
    """Decode a picture file whole, turn it as its EXIF orientation says, and convert it to 8-bit RGB.

    Raises:
        OSError: if the file is missing, truncated or no picture (``PIL.UnidentifiedImageError`` is one).
    """
    with Image.open(file) as picture:
        upright = ImageOps.exif_transpose(picture)
        return np.asarray(upright.convert("RGB"))
