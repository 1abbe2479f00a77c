import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_pipeline.evaluation.statistics import Resampling, mean_with_interval, summarize

FEW = Resampling(0.95, 200, seed=0)
values = st.lists(st.floats(-100, 100), min_size=2, max_size=20).map(np.array)


@given(values)
def test_the_interval_holds_the_mean_and_is_reproducible(numbers):
    found = mean_with_interval(numbers, FEW)
    assert found["mean"] == pytest.approx(numbers.mean())
    assert numbers.min() - 1e-9 <= found["low"] <= found["high"] <= numbers.max() + 1e-9
    assert mean_with_interval(numbers, FEW) == found


def test_the_interval_is_as_wide_as_theory_says(rng):
    """For many values the bootstrap's standard error is sigma / sqrt(n)."""
    numbers = rng.normal(10, 2, 400)
    found = mean_with_interval(numbers, Resampling(0.95, 4000, seed=1))
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * 2 / 20, rel=0.1)
    narrower = mean_with_interval(numbers, Resampling(0.5, 4000, seed=1))
    assert found["low"] < narrower["low"] < narrower["high"] < found["high"]


def test_one_value_has_no_interval_and_an_infinite_mean_is_none():
    assert mean_with_interval(np.array([3.0]), FEW) == {"mean": 3.0, "low": None, "high": None, "n": 1}
    assert mean_with_interval(np.array([3.0, np.inf]), FEW) == {"mean": None, "low": None, "high": None, "n": 2}


def test_differences_are_paired():
    """Two methods that differ by exactly 1 dB on pictures of very different difficulty."""
    rows = [
        {"set": "val", "image": name, "method": method, "psnr_y": level + gain}
        for name, level in [("a", 20.0), ("b", 30.0), ("c", 40.0)]
        for method, gain in [("bicubic", 0.0), ("srgan", 1.0)]
    ]
    summary = summarize(pd.DataFrame(rows), [("srgan", "bicubic"), ("srgan", "srresnet")], FEW)["val"]
    assert summary["methods"]["bicubic"]["psnr_y"]["high"] > summary["methods"]["bicubic"]["psnr_y"]["low"] + 5
    assert summary["differences"] == {"srgan - bicubic": {"psnr_y": {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 3}}}


def test_what_was_not_measured_is_left_out():
    rows = [
        {"set": "val", "image": name, "method": "bicubic", "psnr_y": 20.0, "lpips": value, "never": np.nan}
        for name, value in [("a", 0.1), ("b", np.nan), ("c", 0.3)]
    ]
    measured = summarize(pd.DataFrame(rows), [], FEW)["val"]["methods"]["bicubic"]
    assert list(measured) == ["psnr_y", "lpips"]
    assert (measured["lpips"]["n"], measured["lpips"]["mean"]) == (2, pytest.approx(0.2))
