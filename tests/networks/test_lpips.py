import numpy as np
import pytest
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.ranges import to_minus_one_one
from sr_pipeline.imaging.resample import downsample, enlarge
from sr_pipeline.networks.lpips import Lpips


def read_to_minus_one_one(path):
    return np.asarray(Image.open(path).convert("RGB"), np.float32)[np.newaxis] / 127.5 - 1


def test_the_authors_example(shared):
    """README of PerceptualSimilarity: distances (0.722, 0.138)."""
    lpips = Lpips(shared / "weights/lpips_alex.npz")
    pair = {
        path.stem: read_to_minus_one_one(path)
        for path in (shared / "data/lpips_pair").iterdir()
        if path.stem.startswith("ex_")
    }
    assert float(lpips(pair["ex_ref"], pair["ex_p0"])[0]) == pytest.approx(0.722, abs=5e-4)
    assert float(lpips(pair["ex_ref"], pair["ex_p1"])[0]) == pytest.approx(0.138, abs=5e-4)


@pytest.fixture
def random_weights(tmp_path, rng):
    shapes = [(11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256)]
    arrays = {}
    for i, shape in enumerate(shapes):
        arrays[f"conv{i}/kernel"] = (rng.normal(size=shape) / np.sqrt(np.prod(shape[:3]))).astype(np.float32)
        arrays[f"conv{i}/bias"] = np.zeros(shape[3], np.float32)
        arrays[f"lin{i}"] = np.ones(shape[3], np.float32)
    np.savez(tmp_path / "lpips.npz", **arrays)
    return tmp_path / "lpips.npz"


def test_equal_images_have_no_distance_and_others_have(random_weights, rng):
    lpips = Lpips(random_weights)
    images = rng.uniform(-1, 1, (2, 64, 80, 3)).astype(np.float32)
    assert lpips(images, images).numpy().tolist() == [0, 0]
    near, far = (lpips(images, np.clip(images + noise * rng.normal(size=images.shape), -1, 1)) for noise in (0.05, 0.5))
    assert np.all(far.numpy() > near.numpy())


def test_a_file_that_holds_something_else(tmp_path):
    (tmp_path / "bad.npz").write_text("nothing")
    with pytest.raises(UserError, match=r"bad\.npz does not hold the weights of LPIPS-Alex .*; set lpips\.weights to"):
        Lpips(tmp_path / "bad.npz")


def test_the_packaged_weights_measure_as_the_authors(shared, photograph):
    """Within 0.001 of their 32 bits, on their own example and on pictures enlarged by bicubic interpolation."""
    ours, theirs = Lpips(), Lpips(shared / "weights/lpips_alex.npz")
    pair = {
        path.stem: read_to_minus_one_one(path)
        for path in (shared / "data/lpips_pair").iterdir()
        if path.stem.startswith("ex_")
    }
    hr = photograph[:256, :320]
    enlarged = enlarge(downsample(hr, 4), 4, "bicubic")
    pairs = [(pair["ex_ref"], pair["ex_p0"]), (pair["ex_ref"], pair["ex_p1"])]
    pairs.append((to_minus_one_one(hr[np.newaxis]), to_minus_one_one(enlarged[np.newaxis])))
    for first, second in pairs:
        assert float(ours(first, second)[0]) == pytest.approx(float(theirs(first, second)[0]), abs=1e-3)
