import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sr_pipeline.imaging.metrics import luma, measure, psnr


def test_luma_of_black_white_and_primaries():
    """Constants of ITU-R BT.601: black 16, white 235."""
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert luma(colours)[0] == pytest.approx([16, 235, 81.481, 144.553, 40.966])


def test_psnr_of_a_known_error():
    reference = np.zeros((8, 8))
    assert psnr(reference, reference + 1) == pytest.approx(10 * np.log10(255**2))


def test_the_border_does_not_count(photograph):
    changed = photograph.copy()
    changed[:4], changed[-4:], changed[:, :4], changed[:, -4:] = 0, 0, 0, 0
    assert measure(photograph, changed, 4) == {
        "psnr_y": float("inf"),
        "ssim_y": 1.0,
        "psnr_rgb": float("inf"),
        "ssim_rgb": 1.0,
    }


def test_ssim_follows_wang_2004(rng):
    """Worked out from equation 13 with an 11x11 Gaussian window, at one inner pixel of a small image."""
    from sr_pipeline.imaging.metrics import ssim

    a, b = rng.uniform(0, 255, (11, 11)), rng.uniform(0, 255, (11, 11))
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    mean_a, mean_b = (window * a).sum(), (window * b).sum()
    var_a, var_b = (window * a**2).sum() - mean_a**2, (window * b**2).sum() - mean_b**2
    covariance = (window * a * b).sum() - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    expected /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    assert ssim(a, b) == pytest.approx(expected, rel=1e-6)


def test_shapes_must_agree_and_suffice(photograph):
    with pytest.raises(ValueError, match="cannot compare"):
        measure(photograph, photograph[:-1], 4)
    with pytest.raises(ValueError, match="too small"):
        measure(photograph[:18], photograph[:18], 4)


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(np.uint8, (24, 20, 3)), hnp.arrays(np.uint8, (24, 20, 3)), st.integers(0, 4))
def test_measures_are_symmetric_and_bounded(a, b, border):
    forth, back = measure(a, b, border), measure(b, a, border)
    assert forth == pytest.approx(back)
    assert forth["psnr_y"] >= 0
    assert -1 <= forth["ssim_y"] <= 1 + 1e-9
