"""What the committed sample recipe promises: minutes of training."""

import json

import pytest

from tests.conftest import Project


@pytest.mark.slow
@pytest.mark.slowest
def test_the_sample_beats_bicubic(tmp_path):
    """At least 0.3 dB PSNR-Y on the held-out photographs after the MSE phase."""
    project = Project(tmp_path / "project")
    project.kedro("run")
    methods = json.loads(project.path("data/08_reporting/metrics.json").read_text())["val"]
    assert methods["srresnet"]["psnr_y"] >= methods["bicubic"]["psnr_y"] + 0.3
    assert methods["srresnet"]["ssim_y"] > methods["bicubic"]["ssim_y"]
