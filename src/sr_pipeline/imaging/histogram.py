"""Histogram matching as post-processing."""

import numpy as np

from sr_pipeline.imaging.types import RgbImage


def match_to_input(sr: RgbImage, lr: RgbImage) -> RgbImage:
    """Give each RGB channel of a super-resolved picture the histogram of the low-resolution input.

    The input is the reference, never the original: it is all there is when a picture is really enlarged.
    Gonzalez & Woods, Digital Image Processing, section 3.3 (histogram specification).

    Args:
        sr: super-resolved, (h, w, 3) uint8.
        lr: what it was made from, of any size, (h', w', 3) uint8.

    Returns:
        An image of the shape of ``sr``, rounded to 8 bits.
    """
    from skimage.exposure import match_histograms  # slow to import: not at start-up

    # In uint8, scikit-image would truncate instead of round: half a grey level darker on average.
    matched = match_histograms(sr.astype(np.float64), lr.astype(np.float64), channel_axis=-1)
    return np.clip(np.rint(matched), 0, 255).astype(np.uint8)
