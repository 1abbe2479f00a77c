import numpy as np

from sr_pipeline.evaluation.matching import match
from sr_pipeline.evaluation.parameters import MatchingParameters
from sr_pipeline.imaging.histogram import match_to_input
from sr_pipeline.imaging.resample import downsample, enlarge


def test_the_reference_is_the_input_or_its_enlargement(photograph):
    lr = downsample(photograph[:120, :160], 4)
    sr = np.clip(photograph[:120, :160].astype(int) + 30, 0, 255).astype(np.uint8)
    by_input = match(sr, lr, MatchingParameters())
    by_enlarged = match(sr, lr, MatchingParameters(reference="enlarged"))
    assert np.array_equal(by_input, match_to_input(sr, lr))
    assert np.array_equal(by_enlarged, match_to_input(sr, enlarge(lr, 4, "bicubic")))
    assert not np.array_equal(by_input, by_enlarged)
    assert np.array_equal(match(sr, lr, MatchingParameters(strength=0)), sr)
