import numpy as np
import pandas as pd
import pytest

from sr_pipeline.evaluation.pictures import Picture
from sr_pipeline.evaluation.sheets import Shown, best_and_worst, draw_sheets, gains_over_bicubic
from sr_pipeline.imaging.resample import downsample, enlarge


def table(gains, metric="psnr_y"):
    return pd.DataFrame(
        [
            {"set": "val", "image": image, "method": method, metric: 20.0 + (gain if method == "srgan" else 0)}
            for image, gain in gains.items()
            for method in ("nearest", "bicubic", "srgan")
        ]
    )


def test_gains_are_sorted_and_point_upwards():
    gains = gains_over_bicubic(table({"a": 0.5, "b": -1.0, "c": 2.0}))
    assert gains["srgan"].to_dict() == {"c": 2.0, "a": 0.5, "b": -1.0}
    lpips = gains_over_bicubic(table({"a": 0.5, "b": -1.0}, "lpips"))
    assert lpips["srgan"].to_dict() == {"b": 1.0, "a": -0.5}  # less LPIPS is a gain
    assert lpips.attrs["metric"] == "lpips"


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, [("best", "0")]),
        (3, [("best", "0"), ("worst", "2")]),
        (9, [("best", "0"), ("best", "1"), ("best", "2"), ("worst", "6"), ("worst", "7"), ("worst", "8")]),
    ],
)
def test_best_and_worst_cases(count, expected):
    assert best_and_worst(gains_over_bicubic(table({str(n): -float(n) for n in range(count)}))) == expected


def test_without_a_network_there_are_no_gains():
    measured = table({"a": 0.0})
    assert gains_over_bicubic(measured[measured["method"] != "srgan"]).empty


def test_all_sheets_of_a_set(photograph):
    hr = photograph[:120, :160]
    lr = downsample(hr, 4)
    pictures = [Picture("val", name, "unused") for name in ("a", "b", "c")]
    rows = table({"a": 0.5, "b": -1.0, "c": 2.0}).assign(lpips=0.3)

    def load(picture):
        images = {"nearest": enlarge(lr, 4, "nearest"), "bicubic": enlarge(lr, 4, "bicubic"), "srgan": hr}
        return Shown(picture, hr, lr, images, {method: {"psnr_y": 20.0, "lpips": 0.3} for method in images})

    sheets = draw_sheets(pictures, rows, load, shown=2, detail_size=48)
    assert set(sheets) == {"comparison", "errors", "gains", "best_and_worst", "distortion_perception"}
    for name, sheet in sheets.items():
        assert sheet.mode == "RGB"
        assert np.asarray(sheet).std() > 10, name
    without = draw_sheets(pictures, rows.drop(columns="lpips"), load, shown=2, detail_size=48)
    assert "distortion_perception" not in without
