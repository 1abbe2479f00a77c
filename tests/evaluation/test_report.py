import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation import report
from sr_pipeline.evaluation.describe import describe_intervals, describe_protocol
from sr_pipeline.evaluation.parameters import EvaluateParameters
from sr_pipeline.evaluation.pictures import Picture
from sr_pipeline.evaluation.report import render_report
from sr_pipeline.evaluation.sheets import Shown
from sr_pipeline.evaluation.statistics import summarize
from sr_pipeline.imaging.resample import downsample, enlarge


def content(photograph, sets=("val",), count=5):
    """Pictures of a set by three methods, one of them perfect."""
    hr = photograph[:120, :160]
    lr = downsample(hr, 4)
    images = {method: enlarge(lr, 4, method) for method in ("nearest", "bicubic")} | {"srgan": hr}
    measured = {"nearest": 20.0, "bicubic": 21.0, "srgan": 30.0}
    shown = Shown(Picture("val", "<cat>", "x"), hr, lr, images, {m: {"psnr_y": v} for m, v in measured.items()})
    rows = [
        {"set": name, "image": str(n), "method": method, "psnr_y": value + n, "ciede2000": 3.0 - n}
        for name in sets
        for n in range(count)
        for method, value in measured.items()
    ]
    statistics = summarize(pd.DataFrame(rows), [("srgan", "bicubic")], 0.9)
    evaluation = {
        "model": {"source": "models:/x@champion", "weights": {"srgan": "c0ffee"}, "training": {"recipe": {"seed": 5}}},
        "protocol": describe_protocol(EvaluateParameters()),
        "intervals": describe_intervals(EvaluateParameters(confidence=0.9)),
        "sets": {name: {"pictures": count, "sha256": "f00d", "left_out": {"tiny": "too small"}} for name in sets},
        "processor": "x86_64 with AVX2",
    }
    sheets = {f"{name}/comparison": lambda: Image.fromarray(photograph) for name in sets}
    return {name: [partial(lambda: shown)] * count for name in sets}, sheets, statistics, evaluation


def test_the_page_is_self_contained_and_holds_everything(photograph):
    page = render_report(*content(photograph))
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page) + re.findall(r'"source": "([^"]*)"', page)
    assert len(addresses) > 10
    assert all(address.startswith(("data:image/webp;base64,", "#")) for address in addresses)
    assert "http" not in page
    for text in (
        "models:/x@champion",
        "c0ffee",
        "f00d",
        "tiny (too small)",
        "90 % confidence",
        "recipe.seed",
        "x86_64 with AVX2",
    ):
        assert text in page, text
    assert "SRGAN − bicubic" in page
    assert '<td class="better">+9.00' in page
    assert '<td class="best">32.00' in page
    assert "&lt;cat&gt;" in page
    assert "<cat>" not in page


def test_every_column_states_the_number_of_its_pictures(photograph):
    pictures, sheets, statistics, evaluation = content(photograph)
    for measured in statistics["val"]["methods"].values():
        measured["ciede2000"]["n"] = 4
    statistics["val"]["methods"]["srgan"]["ciede2000"]["n"] = 3
    page = render_report(pictures, sheets, statistics, evaluation)
    assert "PSNR-Y (dB)&nbsp;↑<small>n = 5</small>" in page
    assert "CIEDE2000&nbsp;↓<small>n = 3–4</small>" in page
    assert "<th>PSNR-Y (dB)<small>n = 5</small></th>" in page, "of the differences too"


def test_few_pictures_are_not_judged(photograph):
    """A difference of 9 dB on each of four pictures is not marked, and the page says why."""
    page = render_report(*content(photograph, count=4))
    assert '<td class="">+9.00' in page
    assert "Fewer than 5 pictures are too few to judge" in page
    assert "too few to judge" not in render_report(*content(photograph, count=5))


def interval(mean, low=None, high=None, n=9):
    return {"mean": mean, "low": mean if low is None else low, "high": mean if high is None else high, "n": n}


@pytest.mark.parametrize(
    ("metric", "found", "verdict"),
    [
        ("psnr_y", interval(0.5, 0.1, 0.9), "better"),
        ("psnr_y", interval(-0.5, -0.9, -0.1), "worse"),
        ("lpips", interval(-0.05, -0.09, -0.01), "better"),
        ("psnr_y", interval(0.5, -0.1, 1.1), ""),
        ("psnr_y", interval(-1e-9), ""),
        ("lpips", interval(1e-9), ""),
        ("psnr_y", interval(0.5, 0.1, 0.9, n=4), ""),
        ("psnr_y", interval(0.5, n=1) | {"low": None, "high": None}, ""),
    ],
)
def test_what_is_marked_better_or_worse(metric, found, verdict):
    assert report._verdict(metric, found) == verdict


def test_means_that_print_alike_share_the_best_mark():
    means = {"nearest": 30.001, "bicubic": 30.004, "srresnet": 29.99}
    methods = {method: {"psnr_y": interval(mean)} for method, mean in means.items()}
    rows = report._table(methods)["rows"]
    assert [row["cells"][0]["best"] for row in rows] == [True, True, False]


def test_nothing_is_printed_as_minus_zero():
    assert report._cell("psnr_y", interval(-1e-9, -0.001, 0.001)) == {"mean": "0.00", "range": "0.00 … 0.00"}


def test_equal_evaluations_have_equal_reports(photograph):
    assert render_report(*content(photograph)) == render_report(*content(photograph))


def test_a_report_stays_below_its_limit(photograph, monkeypatch):
    """Pictures get coarser, then the report is refused."""
    large = len(render_report(*content(photograph)).encode())
    monkeypatch.setattr(report, "LIMIT", large - 1)
    assert len(render_report(*content(photograph)).encode()) < large
    monkeypatch.setattr(report, "LIMIT", 20_000)
    with pytest.raises(UserError, match="1 sets do not fit into a report"):
        render_report(*content(photograph))


def test_pictures_larger_than_a_slider_are_cut(photograph):
    hr = np.tile(photograph[:300, :448], (3, 2, 1))
    lr = downsample(hr, 4)
    shown = Shown(Picture("val", "wide", "x"), hr, lr, {"bicubic": enlarge(lr, 4, "bicubic")}, {"bicubic": {}})
    slider = report._slider(shown, report._SIZES[0])
    assert (slider["height"], slider["width"]) == (720, 720)
    assert [layer["title"] for layer in slider["layers"]] == ["LR input", "bicubic", "HR original"]
