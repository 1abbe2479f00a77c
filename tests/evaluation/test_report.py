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
from sr_pipeline.evaluation.statistics import Resampling, summarize
from sr_pipeline.imaging.resample import downsample, enlarge


def content(photograph, sets=("val",)):
    """Two pictures a set by three methods, one of them perfect."""
    hr = photograph[:120, :160]
    lr = downsample(hr, 4)
    images = {method: enlarge(lr, 4, method) for method in ("nearest", "bicubic")} | {"srgan": hr}
    measured = {"nearest": 20.0, "bicubic": 21.0, "srgan": 30.0}
    shown = Shown(Picture("val", "<cat>", "x"), hr, lr, images, {m: {"psnr_y": v} for m, v in measured.items()})
    rows = [
        {"set": name, "image": str(n), "method": method, "psnr_y": value + n, "ciede2000": 3.0 - n}
        for name in sets
        for n in range(2)
        for method, value in measured.items()
    ]
    statistics = summarize(pd.DataFrame(rows), [("srgan", "bicubic")], Resampling(0.9, 100, 0))
    evaluation = {
        "model": {"source": "models:/x@champion", "weights": {"srgan": "c0ffee"}, "training": {"recipe": {"seed": 5}}},
        "protocol": describe_protocol(EvaluateParameters()),
        "intervals": describe_intervals(EvaluateParameters(confidence=0.9)),
        "sets": {name: {"pictures": 2, "sha256": "f00d", "left_out": {"tiny": "too small"}} for name in sets},
        "processor": "x86_64 with AVX2",
    }
    sheets = {f"{name}/comparison": lambda: Image.fromarray(photograph) for name in sets}
    return {name: [partial(lambda: shown)] * 2 for name in sets}, sheets, statistics, evaluation


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
    assert '<td class="best">30.50' in page
    assert "&lt;cat&gt;" in page
    assert "<cat>" not in page


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
