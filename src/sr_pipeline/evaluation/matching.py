"""Histogram matching as parameters say."""

from sr_pipeline.evaluation.parameters import MatchingParameters
from sr_pipeline.imaging.histogram import match_to_input
from sr_pipeline.imaging.pure_areas import restore_pure_areas
from sr_pipeline.imaging.resample import enlarge
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.networks.parameters import SCALE


def match(sr: RgbImage, lr: RgbImage, parameters: MatchingParameters) -> RgbImage:
    """Match an enlarged picture (4h, 4w, 3) to its low-resolution input (h, w, 3), both uint8.

    Pictures of other sizes are matched too; the pure colours of the input are not restored in them.
    """
    reference = enlarge(lr, SCALE, "bicubic") if parameters.reference == "enlarged" else lr
    matched = match_to_input(sr, reference, parameters.space, parameters.strength)
    if parameters.strength and matched.shape[:2] == (SCALE * lr.shape[0], SCALE * lr.shape[1]):
        restore_pure_areas(matched, lr, SCALE)
    return matched
