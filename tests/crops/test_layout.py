import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sr_pipeline.crops.layout import contrast, crop_corners, cut_pairs, shard_of
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
    (hr, lr), *_ = cut_pairs(Image.fromarray(photograph), corners, 96, 4)
    (changed_hr, changed_lr), *_ = cut_pairs(Image.fromarray(changed), corners, 96, 4)
    assert hr == changed_hr
    assert lr == changed_lr
    assert np.array_equal(hr, photograph[top : top + 96, left : left + 96])
    assert np.array_equal(lr, downsample(np.asarray(hr), 4))


@given(st.data(), st.integers(48, 120), st.integers(48, 120), st.integers(0, 2**31 - 1))
def test_pairs_are_the_pixels_at_their_corners(data, height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    size = 4 * data.draw(st.integers(2, min(height, width) // 4))
    corners = crop_corners(seed, 3, 4, (height, width), size)
    pairs = list(cut_pairs(Image.fromarray(pixels), corners, size, 4))
    assert len(pairs) == 4
    for (top, left), (hr, lr) in zip(corners, pairs, strict=True):
        assert np.array_equal(hr, pixels[top : top + size, left : left + size])
        assert lr.size == (size // 4, size // 4)


def test_flat_crops_are_left_out(photograph):
    half_flat = photograph.copy()
    half_flat[:, 225:] = 128
    corners = crop_corners(0, 1, 50, photograph.shape[:2], 96)
    kept = list(cut_pairs(Image.fromarray(half_flat), corners, 96, 4, min_contrast=5))
    assert 0 < len(kept) < 50
    assert all(contrast(hr) >= 5 for hr, _ in kept)
    everything = list(cut_pairs(Image.fromarray(half_flat), corners, 96, 4))
    assert [hr for hr, _ in kept] == [hr for hr, _ in everything if contrast(hr) >= 5]


def test_contrast_of_known_pictures():
    assert contrast(Image.new("RGB", (9, 9), (10, 200, 30))) == 0
    checkers = np.zeros((8, 8, 3), np.uint8)
    checkers[:, ::2] = 255
    assert contrast(Image.fromarray(checkers)) == 127.5


@given(st.integers(0, 2**63 - 1), st.integers(1, 64))
def test_an_image_has_one_shard(image_id, shards):
    assert 0 <= shard_of(image_id, shards) < shards
    assert shard_of(image_id, shards) == shard_of(image_id, shards)
