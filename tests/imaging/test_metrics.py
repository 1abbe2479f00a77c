import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from skimage.color import deltaE_ciede2000

from sr_pipeline.evaluation.metrics import measure
from sr_pipeline.imaging.metrics import PSNR_LIMIT, Original, daala_ssim, limited_psnr, luma, psnr, wang_ssim
from sr_pipeline.imaging.resample import crop_to_multiple, enlarge
from sr_pipeline.pictures.photographs import read_rgb

BASIC = ["psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"]


def test_luma_of_black_white_and_primaries():
    """Constants of ITU-R BT.601: black 16, white 235."""
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert luma(colours)[0] == pytest.approx([16, 235, 81.481, 144.553, 40.966])


def test_psnr_of_a_known_error():
    reference = np.zeros((8, 8))
    assert psnr(reference, reference + 1) == pytest.approx(10 * np.log10(255**2))
    assert psnr(np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)) == 0  # does not wrap around
    assert psnr(reference, reference) == np.inf


def test_psnr_ends_where_8_bits_do(rng):
    """What differs from a picture by nothing but rounding to 8 bits is as near as 8 bits come: 58.92 dB."""
    exact = rng.uniform(0, 255, (500, 500))
    assert psnr(exact, np.rint(exact)) == pytest.approx(PSNR_LIMIT, abs=0.05)
    assert pytest.approx(58.92, abs=0.005) == PSNR_LIMIT
    assert limited_psnr(exact, exact) == PSNR_LIMIT
    one_pixel = exact.copy()
    one_pixel[0, 0] += 1
    assert limited_psnr(exact, one_pixel) == PSNR_LIMIT
    assert limited_psnr(exact, exact + 1) == psnr(exact, exact + 1)


def test_consistency_leaves_out_the_border(photograph):
    """One pixel of the input at each edge is the four of the picture that other metrics leave out."""
    original = Original(photograph[:80, :80], 4)
    enlarged = enlarge(original.lr, 4, "bicubic")
    with_other_edges = enlarged.copy()
    with_other_edges[:1], with_other_edges[-1:], with_other_edges[:, :1], with_other_edges[:, -1:] = 0, 0, 0, 0
    reduced = [Original(image, 4).lr for image in (enlarged, with_other_edges)]
    assert not np.array_equal(reduced[0][0], reduced[1][0])
    lr = original.lr[1:-1, 1:-1]
    assert measure(original, enlarged, ["consistency"])["consistency"] == psnr(lr, reduced[0][1:-1, 1:-1])


def test_the_border_does_not_count(photograph):
    changed = photograph.copy()
    changed[:4], changed[-4:], changed[:, :4], changed[:, -4:] = 0, 0, 0, 0
    measured = measure(Original(photograph, 4), changed, [*BASIC, "ssim_daala", "ciede2000"])
    assert measured == {
        "psnr_y": PSNR_LIMIT,
        "ssim_y": 1.0,
        "psnr_rgb": PSNR_LIMIT,
        "ssim_rgb": 1.0,
        "ssim_daala": 1.0,
        "ciede2000": 0.0,
    }


def test_ssim_follows_wang_2004(rng):
    """Worked out from equation 13 with an 11x11 Gaussian window, at the one inner pixel of a small image."""
    a, b = rng.uniform(0, 255, (11, 11)), rng.uniform(0, 255, (11, 11))
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    mean_a, mean_b = (window * a).sum(), (window * b).sum()
    var_a, var_b = (window * a**2).sum() - mean_a**2, (window * b**2).sum() - mean_b**2
    covariance = (window * a * b).sum() - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    expected /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    assert wang_ssim(a)(b) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=20)
@given(hnp.arrays(np.uint8, (19, 24, 3)), hnp.arrays(np.uint8, (19, 24, 3)))
def test_ssim_is_that_of_scikit_image(a, b):
    from skimage.metrics import structural_similarity

    options = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    planes_a, planes_b = (np.moveaxis(image.astype(float), -1, 0) for image in (a, b))
    expected = structural_similarity(a.astype(float), b.astype(float), channel_axis=-1, **options)
    assert wang_ssim(planes_a)(planes_b) == pytest.approx(expected, abs=1e-9)
    expected = structural_similarity(luma(a), luma(b), **options)
    assert wang_ssim(luma(a))(luma(b)) == pytest.approx(expected, abs=1e-9)


def test_daala_ssim_follows_its_source(rng):
    """``calc_ssim`` of tools/dump_ssim.c, loop by loop: moments under a cut window, divided by its weight."""
    height, width = 190, 21  # of this height, the window has 9 rows
    a, b = rng.integers(16, 236, (2, height, width)).astype(float)
    sigma, one = height * 1.5 / 256, 256
    length = int(np.floor(sigma * np.sqrt(-2 * np.log(np.sqrt(0.5 * np.pi) * sigma / one))))
    side = [
        int(one / (np.sqrt(2 * np.pi) * sigma) * np.exp(-0.5 / sigma**2 * k * k) + 0.5) for k in range(1, length + 1)
    ]
    kernel = [*reversed(side), one - 2 * sum(side), *side]
    total, weights = 0.0, 0.0
    for y in range(height):
        for x in range(width):
            moments = np.zeros(6)
            for j, row in enumerate(kernel):
                for i, column in enumerate(kernel):
                    v, u = y + j - length, x + i - length
                    if 0 <= v < height and 0 <= u < width:
                        s, d = a[v, u], b[v, u]
                        moments += row * column * np.array([s, d, s * s, s * d, d * d, 1])
            mux, muy, x2, xy, y2, w = moments
            c1, c2 = (255 * 0.01 * w) ** 2, (255 * 0.03 * w) ** 2
            index = (2 * mux * muy + c1) * (c2 + 2 * (xy * w - mux * muy))
            index /= (mux**2 + muy**2 + c1) * (x2 * w - mux**2 + y2 * w - muy**2 + c2)
            total += w * index
            weights += w
    assert daala_ssim(a)(b) == pytest.approx(total / weights, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "gray", "published_psnr", "published_ssim"),
    [("Set5", "raw", 28.43, 0.8211), ("Set14", "raw", 26.00, 0.7486), ("Set14", "rgb", 26.09, None)],
)
def test_bicubic_has_the_published_figures(shared, name, gray, published_psnr, published_ssim):
    """Ledig et al. 2017, table 2, row bicubic: daala's SSIM."""
    measured = []
    for file in (shared / "data/benchmarks" / name).glob("*.png"):
        raw = gray == "raw" and Image.open(file).mode == "L"
        original = Original(crop_to_multiple(read_rgb(file), 4), 4, raw_gray=raw)
        measured.append(measure(original, enlarge(original.lr, 4, "bicubic"), ["psnr_y", "ssim_daala"]))
    assert np.mean([m["psnr_y"] for m in measured]) == pytest.approx(published_psnr, abs=0.01)
    if published_ssim:
        assert np.mean([m["ssim_daala"] for m in measured]) == pytest.approx(published_ssim, abs=2e-4)


def test_gray_pictures_on_their_gray_values(rng):
    gray = rng.integers(0, 256, (40, 40, 1), np.uint8).repeat(3, axis=2)
    off = np.clip(gray.astype(int) + 5, 0, 255).astype(np.uint8)
    raw = measure(Original(gray, 4, raw_gray=True), off, ["psnr_y", "psnr_rgb"])
    assert raw["psnr_y"] == pytest.approx(raw["psnr_rgb"])
    studio = measure(Original(gray, 4), off, ["psnr_y"])
    assert studio["psnr_y"] - raw["psnr_y"] == pytest.approx(20 * np.log10(255 / 219))


def test_consistency_is_about_the_input_alone(photograph):
    original = Original(crop_to_multiple(photograph, 4), 4)
    measured = measure(original, original.hr, ["consistency"])
    assert measured["consistency"] == PSNR_LIMIT
    brighter = np.clip(original.hr.astype(int) + 10, 0, 255).astype(np.uint8)
    assert measure(original, brighter, ["consistency"])["consistency"] == pytest.approx(28.1, abs=0.2)


def test_ciede2000_of_a_known_pair():
    """Sharma et al. 2005, table 1, pair 1, from L*a*b*; and a gray step, whose difference is in L* alone."""
    pair = np.array([[[50, 2.6772, -79.7751]]]), np.array([[[50, 0, -82.7485]]])
    assert deltaE_ciede2000(*pair) == pytest.approx(2.0425, abs=1e-4)
    dark, light = np.full((19, 19, 3), 119, np.uint8), np.full((19, 19, 3), 122, np.uint8)
    assert 1 < measure(Original(dark, 4), light, ["ciede2000"])["ciede2000"] < 1.5


def test_shapes_must_agree_and_suffice(photograph):
    with pytest.raises(ValueError, match="cannot compare"):
        measure(Original(photograph, 4), photograph[:-1], ["psnr_y"])
    with pytest.raises(ValueError, match="too small"):
        Original(photograph[:18], 4)


@settings(max_examples=25)
@given(hnp.arrays(np.uint8, (24, 20, 3)), hnp.arrays(np.uint8, (24, 20, 3)), st.sampled_from([1, 2, 4]))
def test_measures_are_symmetric_and_bounded(a, b, scale):
    forth, back = (measure(Original(hr, scale), sr, [*BASIC, "ssim_daala", "ciede2000"]) for hr, sr in ((a, b), (b, a)))
    assert forth == pytest.approx(back)
    assert forth["psnr_y"] >= 0
    assert -1 <= forth["ssim_y"] <= 1 + 1e-9
    assert forth["ciede2000"] >= 0
