import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sr_pipeline.imaging.resample import crop_to_multiple, downsample, enlarge
from sr_pipeline.parameters import EvaluateParameters
from sr_pipeline.pipelines.evaluate.nodes import (
    average_metrics,
    draw_comparison,
    held_out,
    match_histograms,
    measure_methods,
)


@pytest.fixture
def images(tmp_path, photograph):
    rows = []
    for number, (split, status) in enumerate([("val", "ok"), ("train", "ok"), ("val", "excluded"), ("val", "ok")]):
        file = tmp_path / f"photo{number}.png"
        Image.fromarray(photograph[: 120 + number]).save(file)
        rows.append({"id": 10 - number, "file": str(file), "split": split, "status": status})
    return pd.DataFrame(rows)


@pytest.fixture
def super_resolved(images):
    """A generator that is perfect on one photograph and dark on the other."""

    def original(photograph):
        return Image.fromarray(photograph.pair()[0])

    first, second = held_out(images)
    return {
        f"val/srgan/{first.name}": lambda: original(first),
        f"val/srgan/{second.name}": lambda: original(second).point(lambda v: v // 2),
    }


def test_only_usable_held_out_photographs_by_id(images):
    assert [photograph.name for photograph in held_out(images)] == ["photo3", "photo0"]
    assert held_out(images)[0].pair()[0].shape == (120, 448, 3)


def test_methods_are_measured_against_the_original(images, super_resolved, photograph):
    matched = match_histograms(images, super_resolved)
    assert sorted(matched) == ["val/srgan_matched/photo0", "val/srgan_matched/photo3"]
    per_image = measure_methods(images, super_resolved, matched)
    assert list(per_image.columns) == ["set", "image", "method", "psnr_y", "ssim_y", "psnr_rgb", "ssim_rgb"]
    psnr = per_image.set_index(["image", "method"])["psnr_y"]
    assert psnr["photo3", "srgan"] == np.inf
    assert psnr["photo0", "srgan"] < 15
    assert psnr["photo0", "srgan_matched"] > psnr["photo0", "srgan"] + 10
    assert psnr["photo0", "bicubic"] > psnr["photo0", "nearest"]


def test_the_reference_of_matching_is_the_input(images, super_resolved):
    matched = np.asarray(match_histograms(images, super_resolved)["val/srgan_matched/photo0"]())
    lr = held_out(images)[1].pair()[1]
    assert matched.min() >= lr.min()
    assert matched.max() <= lr.max()


def test_means_by_set_and_method():
    per_image = pd.DataFrame(
        [
            {"set": "val", "image": "a", "method": "bicubic", "psnr_y": 20.0},
            {"set": "val", "image": "a", "method": "srgan", "psnr_y": 30.0},
            {"set": "val", "image": "b", "method": "bicubic", "psnr_y": 30.0},
            {"set": "val", "image": "b", "method": "srgan", "psnr_y": 31.0},
        ]
    )
    assert average_metrics(per_image) == {"val": {"bicubic": {"psnr_y": 25.0}, "srgan": {"psnr_y": 30.5}}}


def test_the_comparison_shows_each_photograph_by_each_method(images, super_resolved):
    matched = match_histograms(images, super_resolved)
    per_image = measure_methods(images, super_resolved, matched)
    sheet = draw_comparison(images, super_resolved, matched, per_image, EvaluateParameters(detail_size=48))
    assert sheet.width > sheet.height
    assert np.asarray(sheet).std() > 20


def test_interpolations_start_from_the_low_resolution_image(images):
    photograph = held_out(images)[0]
    hr, lr = photograph.pair()
    assert np.array_equal(lr, downsample(crop_to_multiple(hr, 4), 4))
    assert enlarge(lr, 4, "nearest").shape == hr.shape
