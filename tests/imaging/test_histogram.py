import numpy as np
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from sr_pipeline.imaging.histogram import match_to_input
from sr_pipeline.imaging.resample import crop_to_multiple, downsample


@settings(deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9).map(lambda s: (*s, 3))))
def test_matching_to_itself_changes_nothing(image):
    assert np.array_equal(match_to_input(image, image), image)


@settings(deadline=None)
@given(hnp.arrays(np.uint8, (8, 8, 3)), hnp.arrays(np.uint8, (2, 2, 3)))
def test_the_result_stays_in_the_range_of_the_input(sr, lr):
    matched = match_to_input(sr, lr)
    assert matched.dtype == np.uint8
    assert matched.shape == sr.shape
    for channel in range(3):
        assert lr[..., channel].min() <= matched[..., channel].min()
        assert matched[..., channel].max() <= lr[..., channel].max()


def test_a_colour_cast_is_undone(photograph):
    image = crop_to_multiple(photograph, 4)
    tinted = np.clip(image.astype(int) + np.array([30, -20, 10]), 0, 255).astype(np.uint8)
    matched = match_to_input(tinted, downsample(image, 4))
    before = np.abs(tinted.mean((0, 1)) - image.mean((0, 1)))
    after = np.abs(matched.mean((0, 1)) - image.mean((0, 1)))
    assert np.all(before > 9)
    assert np.all(after < 0.5)
