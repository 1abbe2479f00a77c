import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_pipeline.evaluation.statistics import mean_with_interval, summarize

values = st.lists(st.floats(-100, 100), min_size=2, max_size=20).map(np.array)


@given(values)
def test_the_interval_holds_the_mean(numbers):
    found = mean_with_interval(numbers, 0.95)
    assert found["mean"] == pytest.approx(numbers.mean())
    assert found["low"] <= found["mean"] <= found["high"]


def test_the_interval_is_that_of_students_t():
    """Of 1, 2, 3, 4, 5: mean 3, s = sqrt(2.5), and t = 2.776 of four degrees of freedom (any table of t)."""
    found = mean_with_interval(np.arange(1.0, 6.0), 0.95)
    margin = 2.776 * np.sqrt(2.5 / 5)
    assert (found["low"], found["high"]) == pytest.approx((3 - margin, 3 + margin), abs=1e-3)
    narrower = mean_with_interval(np.arange(1.0, 6.0), 0.5)
    assert found["low"] < narrower["low"] < narrower["high"] < found["high"]


@pytest.mark.parametrize("count", [2, 3, 5, 14])
def test_intervals_hold_at_small_numbers_of_pictures(rng, count):
    """Of differences whose mean is 0, 95 % of the intervals hold 0. The percentile bootstrap's: 50 % at n = 2."""
    draws = rng.normal(size=(1500, count))
    held = [found["low"] <= 0 <= found["high"] for found in (mean_with_interval(draw, 0.95) for draw in draws)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)


def test_one_value_has_no_interval_and_an_infinite_mean_is_none():
    assert mean_with_interval(np.array([3.0]), 0.95) == {"mean": 3.0, "low": None, "high": None, "n": 1}
    assert mean_with_interval(np.array([3.0, np.inf]), 0.95) == {"mean": None, "low": None, "high": None, "n": 2}


def test_equal_values_have_an_interval_of_no_width():
    """Whatever rounding does to their mean."""
    found = mean_with_interval(np.full(7, 0.1), 0.95)
    assert found["low"] == found["high"] == found["mean"]


def test_differences_are_paired():
    """Two methods that differ by exactly 1 dB on pictures of very different difficulty."""
    rows = [
        {"set": "val", "image": name, "method": method, "psnr_y": level + gain}
        for name, level in [("a", 20.0), ("b", 30.0), ("c", 40.0)]
        for method, gain in [("bicubic", 0.0), ("srgan", 1.0)]
    ]
    summary = summarize(pd.DataFrame(rows), [("srgan", "bicubic"), ("srgan", "srresnet")], 0.95)["val"]
    assert summary["methods"]["bicubic"]["psnr_y"]["high"] > summary["methods"]["bicubic"]["psnr_y"]["low"] + 5
    assert summary["differences"] == {"srgan - bicubic": {"psnr_y": {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 3}}}


def test_what_was_not_measured_is_left_out():
    rows = [
        {"set": "val", "image": name, "method": "bicubic", "psnr_y": 20.0, "lpips": value, "never": np.nan}
        for name, value in [("a", 0.1), ("b", np.nan), ("c", 0.3)]
    ]
    measured = summarize(pd.DataFrame(rows), [], 0.95)["val"]["methods"]["bicubic"]
    assert list(measured) == ["psnr_y", "lpips"]
    assert (measured["lpips"]["n"], measured["lpips"]["mean"]) == (2, pytest.approx(0.2))
