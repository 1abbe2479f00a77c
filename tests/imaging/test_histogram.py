import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.exposure import match_histograms

from sr_pipeline.imaging.histogram import match_in_place, match_to_input
from sr_pipeline.imaging.resample import crop_to_multiple, downsample

SPACES = ["rgb", "ycbcr", "chroma"]
images = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9).map(lambda s: (*s, 3)))


@given(images, st.sampled_from(SPACES), st.floats(0, 1))
def test_matching_to_itself_changes_nothing(image, space, strength):
    assert np.array_equal(match_to_input(image, image, space, strength), image)


@given(images, images, st.sampled_from(SPACES), st.floats(0, 1))
def test_shape_and_type_are_kept_whatever_the_sizes(sr, lr, space, strength):
    matched = match_to_input(sr, lr, space, strength)
    assert matched.dtype == np.uint8
    assert matched.shape == sr.shape


@given(images, images)
def test_the_result_stays_in_the_range_of_the_input(sr, lr):
    matched = match_to_input(sr, lr)
    for channel in range(3):
        assert lr[..., channel].min() <= matched[..., channel].min()
        assert matched[..., channel].max() <= lr[..., channel].max()


@given(images, st.tuples(*[st.integers(0, 255)] * 3), st.sampled_from(["rgb", "ycbcr"]))
def test_to_a_constant_reference_all_become_that_colour(sr, colour, space):
    reference = np.full((3, 2, 3), colour, np.uint8)
    assert np.all(match_to_input(sr, reference, space) == reference[0, 0])


@given(images, images, st.sampled_from(SPACES))
def test_without_strength_nothing_changes(sr, lr, space):
    assert np.array_equal(match_to_input(sr, lr, space, 0.0), sr)


def test_half_the_strength_is_half_the_way(photograph):
    dark = (photograph * 0.6).astype(np.uint8)
    whole, half = (match_to_input(dark, photograph, "rgb", strength).astype(float) for strength in (1.0, 0.5))
    assert np.abs(half - (whole + dark) / 2).max() <= 1


@pytest.mark.parametrize("space", SPACES)
def test_a_colour_cast_is_undone(photograph, space):
    image = crop_to_multiple(photograph, 4)
    tinted = np.clip(image.astype(int) + np.array([30, -20, 10]), 0, 255).astype(np.uint8)
    matched = match_to_input(tinted, downsample(image, 4), space)
    chroma_before, chroma_after = (chroma(tinted) - chroma(image), chroma(matched) - chroma(image))
    assert np.all(np.abs(chroma_before) > 3)
    assert np.all(np.abs(chroma_after) < 0.5)
    luma_after = matched.mean((0, 1)) @ [0.299, 0.587, 0.114]
    kept = tinted if space == "chroma" else image
    assert luma_after == pytest.approx(kept.mean((0, 1)) @ [0.299, 0.587, 0.114], abs=0.5)


def chroma(image):
    red, green, blue = image.mean((0, 1))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.array([(blue - luma) / 1.772, (red - luma) / 1.402])


def test_strength_out_of_range(photograph):
    with pytest.raises(ValueError, match="strength 2 is not between 0 and 1"):
        match_to_input(photograph, photograph, "rgb", 2)


@given(images, images)
def test_scikit_image_matches_the_same(sr, lr):
    expected = np.rint(match_histograms(sr.astype(float), lr.astype(float), channel_axis=-1))
    assert np.array_equal(match_to_input(sr, lr), expected)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_other_types_are_matched_in_place(photograph, dtype):
    """In finer steps, the same within one level of 8 bits, and with all values of the reference."""
    unit = 257 if dtype == np.uint16 else 1 / 255
    dark, reference = (photograph // 2, photograph[::4, ::4])
    picture = (dark * np.float64(unit)).astype(dtype)
    match_in_place(picture, (reference * np.float64(unit)).astype(dtype))
    assert picture.dtype == dtype
    assert np.abs(picture / unit - match_to_input(dark, reference)).max() <= 0.51
