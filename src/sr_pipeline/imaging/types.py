"""Array types."""

import numpy as np
from numpy.typing import NDArray

RgbImage = NDArray[np.uint8]
"""An 8-bit RGB image: shape (height, width, 3), values 0–255."""
