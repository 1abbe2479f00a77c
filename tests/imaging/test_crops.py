import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_pipeline.imaging.crops import crop_corners, cut_pairs, shard_of
from sr_pipeline.imaging.resample import downsample


@given(
    st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.integers(96, 700), st.integers(96, 700), st.integers(1, 9)
)
def test_crops_lie_inside_and_more_begin_with_fewer(seed, image_id, height, width, count):
    corners = crop_corners(seed, image_id, count, (height, width), 96)
    assert all(0 <= top <= height - 96 and 0 <= left <= width - 96 for top, left in corners)
    assert crop_corners(seed, image_id, count + 3, (height, width), 96)[:count] == corners


def test_corners_reach_every_place():
    corners = crop_corners(0, 1, 2000, (98, 97), 96)
    assert set(corners) == {(top, left) for top in range(3) for left in range(2)}


def test_corners_differ_between_seeds_and_images():
    shape = (500, 500)
    assert len({tuple(crop_corners(s, i, 4, shape, 96)) for s in range(5) for i in range(5)}) == 25


def test_too_small_an_image():
    with pytest.raises(ValueError, match="96 pixels does not fit into an image of 200x95"):
        crop_corners(0, 1, 1, (95, 200), 96)


def test_low_resolution_comes_from_the_crop_alone(photograph):
    corners = crop_corners(0, 1, 3, photograph.shape[:2], 96)
    changed = photograph.copy()
    top, left = corners[0]
    outside = np.ones(photograph.shape[:2], bool)
    outside[top : top + 96, left : left + 96] = False
    changed[outside] = 0
    (hr, lr), *_ = cut_pairs(photograph, corners, 96, 4)
    (changed_hr, changed_lr), *_ = cut_pairs(changed, corners, 96, 4)
    assert np.array_equal(hr, changed_hr)
    assert np.array_equal(lr, changed_lr)
    assert np.array_equal(lr, downsample(hr, 4))


@given(st.integers(0, 2**63 - 1), st.integers(1, 64))
def test_an_image_has_one_shard(image_id, shards):
    assert 0 <= shard_of(image_id, shards) < shards
    assert shard_of(image_id, shards) == shard_of(image_id, shards)
