import numpy as np
import pytest

from sr_pipeline.imaging.niqe import niqe
from sr_pipeline.imaging.resample import crop_to_multiple, downsample, enlarge
from sr_pipeline.pictures.photographs import read_rgb


def test_the_published_figure_of_baboon(shared):
    """BasicSR, metrics/niqe.py: 5.72957338 by the authors' code in MATLAB R2021a, 5.7295763 by its own."""
    assert niqe(read_rgb(shared / "data/benchmarks/Set14/baboon.png")) == pytest.approx(5.72957338, abs=2e-6)


def test_natural_pictures_are_better_than_noise_and_blur(photograph, rng):
    natural = crop_to_multiple(photograph, 4)
    blurred = enlarge(downsample(natural, 4), 4, "bicubic")
    noisy = np.clip(natural + rng.normal(0, 40, natural.shape), 0, 255).astype(np.uint8)
    assert niqe(natural) < min(niqe(blurred), niqe(noisy))


def test_what_is_too_small_or_flat_has_none(photograph):
    assert np.isnan(niqe(photograph[:96, :191]))
    assert np.isfinite(niqe(photograph[:96, :192]))
    assert np.isnan(niqe(photograph[:96, :192], border=1))
    assert np.isnan(niqe(np.full((200, 300, 3), 128, np.uint8)))
