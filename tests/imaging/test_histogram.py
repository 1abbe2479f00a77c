import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import maximum_filter, minimum_filter
from skimage.exposure import match_histograms

from sr_pipeline.imaging.histogram import match_in_place, match_to_input
from sr_pipeline.imaging.resample import crop_to_multiple, downsample, enlarge

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


@pytest.mark.parametrize("picture", ["chelsea", "astronaut", "coffee", "rocket"])
def test_photographs_are_matched_as_by_scikit_image(picture):
    """Where all values occur, ranks are certain: next to no pixel differs."""
    hr = crop_to_multiple(getattr(skimage.data, picture)(), 4)
    lr = downsample(hr, 4)
    sr = np.clip(enlarge(lr, 4, "bicubic") * 0.9 + np.array([12, 6, 9]), 0, 255).astype(np.uint8)
    expected = np.rint(match_histograms(sr.astype(float), lr.astype(float), channel_axis=-1))
    apart = np.abs(match_to_input(sr, lr) - expected)
    assert np.mean(apart > 1) < 0.002
    assert np.abs(sr - expected).mean() > 2


def enlarged(lr, kernel, cast, seed):
    """As by a network that overshoots or blurs at edges, has a colour cast and makes a little noise."""
    size = (4 * lr.shape[1], 4 * lr.shape[0])
    sr = np.asarray(Image.fromarray(lr).resize(size, kernel)).astype(float)
    noise = np.random.default_rng(seed).normal(0, 0.6, sr.shape)
    return np.clip(np.rint(sr + cast + noise), 0, 255).astype(np.uint8)


@given(
    colours=hnp.arrays(np.uint8, st.tuples(st.integers(1, 4), st.just(3))),
    shape=st.tuples(st.integers(8, 60), st.integers(8, 60)),
    cell=st.integers(4, 10),
    kernel=st.sampled_from([Image.Resampling.BICUBIC, Image.Resampling.LANCZOS]),
    cast=st.integers(-6, 6),
    seed=st.integers(0, 999),
)
@settings(max_examples=300)
def test_areas_of_one_colour_do_not_get_worse(colours, shape, cell, kernel, cast, seed):
    """Pictures of few colours, as graphics have."""
    height, width = shape
    cells = np.random.default_rng(seed).integers(0, len(colours), (-(-height // cell), -(-width // cell)))
    lr = colours[cells.repeat(cell, 0).repeat(cell, 1)[:height, :width]]
    sr = enlarged(lr, kernel, cast, seed)
    exact = lr.repeat(4, 0).repeat(4, 1).astype(int)
    inside = constant_around(lr).repeat(4, 0).repeat(4, 1)
    before, after = (np.abs(image - exact)[inside].sum() for image in (sr, match_to_input(sr, lr)))
    assert after <= before


def constant_around(lr):
    """Where the pixels around have the same colour."""
    same = [maximum_filter(lr[..., i], 3) == minimum_filter(lr[..., i], 3) for i in range(3)]
    return np.all(same, axis=0)


@given(colour=st.tuples(*[st.integers(0, 255)] * 3), cast=st.integers(-20, 20), seed=st.integers(0, 99))
def test_a_picture_of_one_colour_gets_that_colour(colour, cast, seed):
    lr = np.full((9, 12, 3), colour, np.uint8)
    sr = enlarged(lr, Image.Resampling.BICUBIC, cast, seed)
    for space in ("rgb", "ycbcr"):
        assert np.all(match_to_input(sr, lr, space) == lr[0, 0])


def text(black=0, white=255):
    """Letters as a screen shows them, (60, 120, 3)."""
    page = Image.new("RGB", (120, 60), (white,) * 3)
    draw = ImageDraw.Draw(page)
    for line in (4, 24, 40):
        draw.text((5, line), "The quick brown fox", (black,) * 3, ImageFont.load_default(11))
    return np.asarray(page)


@pytest.mark.parametrize(("black", "white"), [(0, 255), (15, 255), (40, 200)])
@pytest.mark.parametrize("space", SPACES)
def test_letters_keep_their_black_and_their_paper(black, white, space):
    """An enlargement has sharper edges than its input, so it has more black; that is not a reason to make it gray."""
    lr = text(black, white)
    exact = lr.repeat(4, 0).repeat(4, 1).astype(int)
    blurred = np.asarray(Image.fromarray(lr).resize((480, 240), Image.Resampling.BICUBIC)).astype(float)
    middle = (black + white) / 2
    sr = np.clip(np.rint(middle + 1.6 * (blurred - middle)), black, white).astype(np.uint8)
    matched = match_to_input(sr, lr, space)
    assert np.abs(matched - exact).mean() <= np.abs(sr - exact).mean() + 0.1
    assert matched[sr == black].mean() <= black + 4
    assert matched[sr == white].mean() >= white - 1


def test_black_stays_black_where_a_little_more_is_black():
    """Ranks alone give the last black pixel what lies between black and the next value."""
    lr = np.zeros((60, 60, 3), np.uint8)
    lr[30:] = np.linspace(1, 255, 60).astype(np.uint8)[:, np.newaxis]
    sr = lr.repeat(4, 0).repeat(4, 1)
    sr[120:, :4] = 0
    assert np.all(match_to_input(sr, lr)[:120] == 0)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_other_types_are_matched_in_place(photograph, dtype):
    """In finer steps, the same within one level of 8 bits, and with all values of the reference."""
    unit = 257 if dtype == np.uint16 else 1 / 255
    dark, reference = (photograph // 2, photograph[::4, ::4])
    picture = (dark * np.float64(unit)).astype(dtype)
    match_in_place(picture, (reference * np.float64(unit)).astype(dtype))
    assert picture.dtype == dtype
    assert np.abs(picture / unit - match_to_input(dark, reference)).max() <= 1
