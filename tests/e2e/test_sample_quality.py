"""What the committed sample recipe promises: minutes of training."""

import json

import pytest

from tests.conftest import Project


@pytest.mark.slow
def test_the_sample_beats_bicubic(tmp_path):
    """On the held-out photographs, on any kind of processor."""
    project = Project(tmp_path / "project")
    project.kedro("run")
    methods = json.loads(project.path("data/08_reporting/metrics.json").read_text())["val"]
    bicubic, srresnet, srgan = (methods[name] for name in ("bicubic", "srresnet", "srgan"))
    assert srresnet["psnr_y"] >= bicubic["psnr_y"] + 0.5
    assert srresnet["ssim_y"] > bicubic["ssim_y"]
    assert srgan["psnr_y"] >= bicubic["psnr_y"]
    assert srgan["lpips"] <= bicubic["lpips"] - 0.1
    assert srgan["lpips"] < srresnet["lpips"]
