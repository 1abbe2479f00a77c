"""FLIP, by its authors' package, which the extra ``flip`` brings."""

import flip_evaluator
import numpy as np

from sr_pipeline.imaging.metrics import Enlarged, Original
from sr_pipeline.imaging.types import RgbImage

PIXELS_PER_DEGREE = 67.0
"""Of a 0.7 m wide screen of 3840 pixels seen from 0.7 m, the authors' default."""


def flip(original: Original, enlarged: Enlarged) -> float:
    """Mean of the map of LDR-FLIP, 0 to 1: what one sees when the two pictures alternate.

    Andersson et al. 2020, "FLIP: A Difference Evaluator for Alternating Images", Proc. ACM CGIT 3(2).
    """
    reference, image = (_in_unit_range(picture) for picture in (original.inner(original.hr), enlarged.inner))
    parameters = {"ppd": PIXELS_PER_DEGREE}
    errors, _, _ = flip_evaluator.evaluate(reference, image, "LDR", applyMagma=False, parameters=parameters)
    return float(np.mean(errors, dtype=np.float64))


def _in_unit_range(image: RgbImage) -> np.ndarray:
    return np.ascontiguousarray(image, np.float32) / np.float32(255)
