"""What is not a photograph: areas of one colour, text, transparency; by the generators of the package."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_erosion, maximum_filter, minimum_filter

import sr_pipeline
from sr_pipeline.evaluation.matching import match
from sr_pipeline.evaluation.parameters import MatchingParameters
from sr_pipeline.packaged import PACKAGED
from sr_pipeline.serving.requests import enlarge_file

COLOURS = [
    [(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0)],
    [(0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)],
    [(128, 128, 128), (236, 188, 158), (18, 18, 18), (240, 240, 240)],
]
EDGE = 32  # pixels of an area in the input


@pytest.fixture(scope="module", params=PACKAGED)
def model(request):
    return sr_pipeline.load_model(request.param, engine="onnx")


@pytest.fixture(scope="module")
def chart():
    """Twelve areas, as test charts and graphics have."""
    return np.array(COLOURS, np.uint8).repeat(EDGE, 0).repeat(EDGE, 1)


@pytest.fixture(scope="module")
def plain(model, chart):
    return sr_pipeline.upscale(chart, model)


@pytest.fixture(scope="module")
def matched(model, chart):
    return sr_pipeline.upscale(chart, model, match_histogram=True)


def areas(picture, margin):
    """Each area of an enlarged chart, without ``margin`` pixels at its edges, and its colour."""
    for row, colours in enumerate(COLOURS):
        for column, colour in enumerate(colours):
            rows, columns = (slice(4 * EDGE * n + margin, 4 * EDGE * (n + 1) - margin) for n in (row, column))
            yield picture[rows, columns].astype(int), np.array(colour)


def error(pixels, colour):
    return np.abs(pixels - colour).mean()


@pytest.mark.parametrize("margin", [0, 4, 16, 32])
def test_matching_makes_no_area_worse(plain, matched, margin):
    for (before, colour), (after, _) in zip(areas(plain, margin), areas(matched, margin), strict=True):
        assert error(after, colour) <= error(before, colour) + 0.01


def test_matched_areas_have_their_colour(matched):
    """Gray used to become 94, 120, 113 with stripes, white 255, 245, 255."""
    for pixels, colour in areas(matched, 32):
        assert np.abs(pixels - colour).max() <= 2


@pytest.mark.parametrize("space", ["rgb", "ycbcr", "chroma"])
@pytest.mark.parametrize("reference", ["input", "enlarged"])
def test_the_evaluation_makes_no_area_worse(plain, chart, space, reference):
    """By more than rounding to 8 bits after a change of colour space may."""
    after = match(plain, chart, MatchingParameters(space=space, reference=reference))
    for (before, colour), (pixels, _) in zip(areas(plain, 32), areas(after, 32), strict=True):
        assert error(pixels, colour) <= error(before, colour) + (0.01 if space == "rgb" else 0.7)


@pytest.mark.parametrize("match_histogram", [False, True])
def test_pure_colours_are_exact(plain, matched, match_histogram):
    for pixels, colour in areas(matched if match_histogram else plain, 4):
        if set(colour) <= {0, 255}:
            assert np.all(pixels == colour)


def test_text_stays_black_on_white(model, shared):
    """Black used to become 29 to 41."""
    page = np.asarray(Image.open(shared / "cases/upscale/textpage.png"))
    exact = page.repeat(4, 0).repeat(4, 1).astype(int)
    before, after = (sr_pipeline.upscale(page, model, match_histogram=match) for match in (False, True))
    paper = (minimum_filter(page, 3) == 255).repeat(4, 0).repeat(4, 1)
    assert np.all(after[paper] == 255)
    assert np.abs(after - exact).mean() < np.abs(before - exact).mean()
    ink = before <= 15
    assert ink.sum() > 10_000
    assert np.abs(after[ink].astype(int) - before[ink]).max() <= 3


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_opaque_stays_opaque_and_transparent_transparent(model, shared, dtype):
    """Opaque areas used to be 254 here and there."""
    peak = 1 if dtype == np.float32 else np.iinfo(dtype).max
    picture = (np.asarray(Image.open(shared / "cases/upscale/rgba8.png")) / 255 * peak).astype(dtype)
    alpha = sr_pipeline.upscale(picture, model)[..., 3]
    for value in (0, peak):
        area = binary_erosion(picture[..., 3] == value, np.ones((3, 3)), border_value=1)
        assert area.sum() > 1000
        assert np.all(alpha[area.repeat(4, 0).repeat(4, 1)] == value)
    soft = maximum_filter(picture[..., 3], 3) != minimum_filter(picture[..., 3], 3)
    assert len(np.unique(alpha[soft.repeat(4, 0).repeat(4, 1)])) > 50  # edges are still drawn by the generator


def test_the_served_model_keeps_them_too(model, shared):
    content = (shared / "cases/upscale/rgba8.png").read_bytes()
    small, large = (np.asarray(Image.open(io.BytesIO(file))) for file in (content, enlarge_file(content, model)))
    for value in (0, 255):
        area = binary_erosion(small[..., 3] == value, np.ones((3, 3)), border_value=1).repeat(4, 0).repeat(4, 1)
        assert np.all(large[area][:, 3] == value)
