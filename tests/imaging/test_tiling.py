import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from sr_pipeline.imaging.tiling import enlarge_in_tiles, plan_tiles


@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 6), st.integers(1, 20))
def test_tiles_cover_the_picture_once_and_see_their_margins(height, width, margin, core):
    size = 2 * margin + core
    covered = np.zeros((height, width), int)
    for tile in plan_tiles((height, width), size, margin):
        covered[tile.kept] += 1
        for kept, seen, inside, length in zip(tile.kept, tile.seen, tile.inside, (height, width), strict=True):
            assert seen.stop - seen.start <= size
            assert seen.start <= max(kept.start - margin, 0)
            assert seen.stop >= min(kept.stop + margin, length)
            assert (inside.start + seen.start, inside.stop + seen.start) == (kept.start, kept.stop)
    assert np.all(covered == 1)


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))
def test_tiled_equals_whole_where_the_margin_suffices(height, width, core):
    image = np.random.default_rng(height * 41 + width).integers(0, 256, (height, width, 3), np.uint8)

    def smooth_and_double(part):
        """Sees two pixels around each, and mirrors what it does not see, as a network's reflection padding does."""
        smooth = uniform_filter(part.astype(float), (5, 5, 1), mode="mirror")
        return np.rint(smooth).astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)

    tiled = enlarge_in_tiles(image, smooth_and_double, 2, size=core + 4, margin=2)
    assert np.abs(tiled.astype(int) - smooth_and_double(image)).max() <= 1  # sums in another order round otherwise


def test_nothing_left_between_margins():
    with pytest.raises(ValueError, match="tiles of 8 pixels keep nothing between margins of 4; they need 9"):
        list(plan_tiles((20, 20), 8, 4))
