"""The generators that come with this package are there, whole, and good."""

import shutil

import numpy as np
import pytest
import skimage.data
from scipy import ndimage

from sr_pipeline import packaged
from sr_pipeline.datasets.keras_generators import load_keras_model
from sr_pipeline.errors import UserError
from sr_pipeline.imaging.metrics import luma, psnr
from sr_pipeline.imaging.resample import downsample, enlarge
from sr_pipeline.inference.folding import read_folded
from sr_pipeline.inference.models import DEFAULT, open_model
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.packaged import FOLDER, PACKAGED, generator_file, packaged_file
from sr_pipeline.serving.model_cache import ModelCache
from sr_pipeline.training.recipes import Recipe
from tests.conftest import committed_parameters


def test_each_file_is_a_generator_and_all_are_small():
    assert DEFAULT in PACKAGED
    assert {path.stem for path in FOLDER.glob("*.keras")} == set(PACKAGED)
    assert sum(path.stat().st_size for path in FOLDER.glob("*.keras")) < 6e6
    assert sum(path.stat().st_size for path in FOLDER.glob("*.npz")) < 6e6
    for name in PACKAGED:
        generator = read_folded(generator_file(name))
        assert (generator.upsampling, generator.output, generator.padding) == ("direct", "linear", "reflect")


@pytest.mark.parametrize("name", PACKAGED)
def test_each_is_of_the_network_of_its_recipe(name):
    """A training by its recipe can go on from it."""
    recipe = Recipe.model_validate(committed_parameters("release")["recipes"][name])
    same = build_generator(recipe.generator)
    model = load_keras_model(packaged_file(name))
    same.set_weights(model.get_weights())
    lr = np.random.default_rng(0).random((1, 12, 9, 3), np.float32)
    assert np.allclose(same(lr), model(lr), atol=1e-6)


@pytest.mark.parametrize("picture", ["astronaut", "coffee"])
def test_both_are_closer_to_the_original_than_bicubic_and_perceptual_is_sharper(picture):
    hr = getattr(skimage.data, picture)()[40:296, 80:336]
    lr = downsample(hr, 4)
    enlarged = {name: open_model(name, "float32")(lr) for name in PACKAGED} | {"bicubic": enlarge(lr, 4, "bicubic")}
    inner = (slice(4, -4), slice(4, -4))
    closeness = {name: psnr(luma(hr)[inner], luma(image)[inner]) for name, image in enlarged.items()}
    assert closeness["fidelity"] > closeness["perceptual"] > closeness["bicubic"] + 0.2
    assert closeness["fidelity"] > closeness["bicubic"] + 0.5
    detail = {name: detail_of(image) for name, image in enlarged.items()}
    assert detail["bicubic"] < detail["fidelity"] < 0.9 * detail["perceptual"] < 1.2 * detail_of(hr)


def detail_of(image):
    """Energy of what a Gaussian of one pixel takes away."""
    y = luma(image)
    return np.mean((y - ndimage.gaussian_filter(y, 1)) ** 2)


@pytest.mark.parametrize("name", PACKAGED)
def test_flat_areas_stay_flat_and_keep_their_colour(name):
    """No checkerboard, no colour cast."""
    for colour in ([128, 128, 128], [200, 60, 40], [250, 250, 250], [10, 20, 30]):
        flat = np.tile(np.array(colour, np.uint8), (32, 32, 1))
        sr = open_model(name, "float32")(flat)[32:-32, 32:-32].astype(int)
        assert np.ptp(sr, axis=(0, 1)).max() <= 3
        assert np.abs(sr.mean(axis=(0, 1)) - colour).max() < 3


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    shutil.copytree(FOLDER, tmp_path / "weights")
    monkeypatch.setattr(packaged, "FOLDER", tmp_path / "weights")
    path = packaged_file(DEFAULT)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{DEFAULT}\.keras is damaged: its SHA-256 is .* install sr-pipeline again"):
        read_folded(generator_file(DEFAULT))
    path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        read_folded(generator_file(DEFAULT))


def test_the_page_offers_them_where_there_is_no_registry(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert [entry["name"] for entry in ModelCache(DEFAULT).listed()] == [DEFAULT, *(set(PACKAGED) - {DEFAULT})]
    listed = ModelCache("runs/generator.keras").listed()
    assert [entry["name"] for entry in listed] == ["runs/generator.keras", *PACKAGED]
    assert listed[0]["label"] == "generator.keras"
