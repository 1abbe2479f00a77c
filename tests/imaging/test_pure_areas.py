import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_pipeline.imaging.pure_areas import pure_areas, restore_pure_areas

TYPES = {np.uint8: 255, np.uint16: 65535, np.float32: 1.0}


@st.composite
def pictures(draw):
    """Of few colours, pure and almost pure, in large areas; gray or RGB."""
    dtype = draw(st.sampled_from(list(TYPES)))
    peak = TYPES[dtype]
    height, width, cell = draw(st.integers(1, 20)), draw(st.integers(1, 20)), draw(st.integers(1, 7))
    channels = draw(st.sampled_from([(), (1,), (3,)]))
    step = 1 if peak > 1 else 1e-6
    values = np.array([0, peak, 0, peak, step, peak - step], dtype)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    picked = values[rng.integers(0, len(values), (-(-height // cell), -(-width // cell), *channels))]
    return picked.repeat(cell, 0).repeat(cell, 1)[:height, :width]


def is_pure(image, row, column):
    """By what the words say."""
    around = image[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    own = image[row, column]
    return bool(np.all(around == own) and np.all((own == 0) | (own == TYPES[image.dtype.type])))


@given(picture=pictures(), data=st.data())
def test_pixels_are_pure_with_all_their_neighbours(picture, data):
    top, left = (data.draw(st.integers(0, edge - 1)) for edge in picture.shape[:2])
    bottom, right = (
        data.draw(st.integers(start + 1, edge)) for start, edge in zip((top, left), picture.shape[:2], strict=True)
    )
    area = pure_areas(picture, (slice(top, bottom), slice(left, right)))
    expected = [[is_pure(picture, row, column) for column in range(left, right)] for row in range(top, bottom)]
    assert np.array_equal(area, expected)


@given(picture=pictures(), scale=st.integers(1, 4))
def test_they_are_restored_and_nothing_else_is_touched(picture, scale):
    enlarged = np.full((scale * picture.shape[0], scale * picture.shape[1], *picture.shape[2:]), 0.5)
    enlarged = (enlarged * TYPES[picture.dtype.type]).astype(picture.dtype)
    restored = enlarged.copy()
    restore_pure_areas(restored, picture, scale)
    for row, column in np.ndindex(restored.shape[:2]):
        small = row // scale, column // scale
        assert np.array_equal(restored[row, column], (picture if is_pure(picture, *small) else enlarged)[small])


@pytest.mark.parametrize("height", [63, 64, 65, 200])
def test_pictures_are_gone_through_in_parts_without_seams(height):
    white = np.full((height, 3, 3), 255, np.uint8)
    enlarged = np.full((4 * height, 12, 3), 254, np.uint8)
    restore_pure_areas(enlarged, white, 4)
    assert np.all(enlarged == 255)
