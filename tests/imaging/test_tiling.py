import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from sr_pipeline.imaging.tiling import area, plan_tiles

lengths = st.integers(1, 70)


def whole(height, width):
    return slice(0, height), slice(0, width)


@given(lengths, lengths, st.integers(0, 6), st.integers(1, 20))
def test_tiles_cover_the_picture_and_see_their_margins(height, width, margin, core):
    edge = 2 * margin + core
    covered = np.zeros((height, width), int)
    tiles = plan_tiles((height, width), whole(height, width), edge, margin)
    for tile in tiles:
        covered[tile.kept] += 1
        for kept, seen, inside, length in zip(tile.kept, tile.seen, tile.inside, (height, width), strict=True):
            assert 0 <= seen.start <= max(kept.start - margin, 0)
            assert length >= seen.stop >= min(kept.stop + margin, length)
            assert (inside.start + seen.start, inside.stop + seen.start) == (kept.start, kept.stop)
    assert np.all(covered >= 1)
    assert len({tuple(part.stop - part.start for part in tile.seen) for tile in tiles}) == 1
    assert area(tiles[0].seen) <= edge**2


@given(lengths, lengths, st.data())
def test_a_part_of_a_picture_is_covered(height, width, data):
    top, left = (data.draw(st.integers(0, length - 1)) for length in (height, width))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    covered = np.zeros((height, width), bool)
    for tile in plan_tiles((height, width), (slice(top, bottom), slice(left, right)), 12, 3):
        covered[tile.kept] = True
    assert covered[top:bottom, left:right].all()
    assert covered.sum() == (bottom - top) * (right - left)


@settings(max_examples=50)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))
def test_tiled_equals_whole_where_the_margin_suffices(height, width, core):
    image = np.random.default_rng(height * 41 + width).integers(0, 256, (height, width, 3), np.uint8)

    def smooth(part):
        """Sees two pixels around each, and mirrors what it does not see, as a network's reflection padding does."""
        return np.rint(uniform_filter(part.astype(float), (5, 5, 1), mode="mirror"))

    tiled = np.empty(image.shape)
    for tile in plan_tiles((height, width), whole(height, width), core + 4, 2):
        tiled[tile.kept] = smooth(image[tile.seen])[tile.inside]
    assert np.abs(tiled - smooth(image)).max() <= 1  # sums in another order round otherwise


@pytest.mark.parametrize("edge", [100, 130])
def test_as_few_tiles_as_possible(edge):
    """A picture a bit larger than a tile is cut in two, not in four."""
    assert len(plan_tiles((90, 130), whole(90, 130), edge, 12)) == (2 if edge == 100 else 1)
