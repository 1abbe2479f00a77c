import time
import zipfile

import numpy as np
import pytest

from sr_pipeline.datasets.keras_generators import (
    KerasGeneratorsDataset,
    load_keras_model,
    save_halved,
    save_keras_model,
)
from sr_pipeline.errors import UserError
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters

FILES = {"srgan": "generator.keras", "srresnet": "srresnet.keras"}
SMALL = GeneratorParameters(filters=4, blocks=1)


@pytest.fixture
def models():
    return {"srgan": build_generator(SMALL, seed=1), "srresnet": build_generator(SMALL, seed=2)}


def test_what_is_saved_is_loaded(models, tmp_path, rng):
    dataset = KerasGeneratorsDataset(filepath=str(tmp_path / "models"), files=FILES)
    assert not dataset.exists()
    dataset.save(models)
    assert dataset.exists()
    assert sorted(file.name for file in (tmp_path / "models").iterdir()) == ["generator.keras", "srresnet.keras"]
    lr = rng.uniform(size=(1, 8, 8, 3)).astype(np.float32)
    for name, model in dataset.load().items():
        assert np.array_equal(model(lr), models[name](lr))


def test_equal_models_give_equal_bytes(models, tmp_path):
    paths = [tmp_path / "a.keras", tmp_path / "b.keras"]
    save_keras_model(models["srgan"], paths[0])
    time.sleep(2.1)  # zip archives keep times in steps of two seconds
    save_keras_model(build_generator(SMALL, seed=1), paths[1])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with zipfile.ZipFile(paths[0]) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_halved_weights_are_the_same_but_for_their_rounding(models, tmp_path):
    whole, halved, again = (tmp_path / f"{name}.keras" for name in ("whole", "halved", "again"))
    save_keras_model(models["srgan"], whole)
    save_halved(whole, halved)
    loaded = load_keras_model(halved)
    for ours, theirs in zip(loaded.weights, models["srgan"].weights, strict=True):
        assert ours.path == theirs.path
        assert ours.dtype == "float32"
        assert np.array_equal(ours.numpy(), theirs.numpy().astype(np.float16).astype(np.float32))
    save_halved(halved, again)
    assert again.read_bytes() == halved.read_bytes()


def test_what_cannot_be_halved(models, tmp_path):
    kernel, bias = models["srgan"].get_layer("tail_conv").get_weights()
    models["srgan"].get_layer("tail_conv").set_weights([kernel + 1e5, bias])
    save_keras_model(models["srgan"], tmp_path / "large.keras")
    with pytest.raises(UserError, match=r"large\.keras has weights in /layers/.* too large for 16 bits"):
        save_halved(tmp_path / "large.keras", tmp_path / "halved.keras")
    (tmp_path / "text.keras").write_text("no zip")
    with pytest.raises(UserError, match=r"text\.keras is not a Keras model"):
        save_halved(tmp_path / "text.keras", tmp_path / "halved.keras")
    assert not (tmp_path / "halved.keras").exists()


def test_a_recipe_without_pretraining_leaves_no_old_srresnet(models, tmp_path):
    dataset = KerasGeneratorsDataset(filepath=str(tmp_path), files=FILES)
    dataset.save(models)
    dataset.save({"srgan": models["srgan"]})
    assert list(dataset.load()) == ["srgan"]


def test_no_model_and_no_keras_file(tmp_path):
    dataset = KerasGeneratorsDataset(filepath=str(tmp_path), files=FILES)
    with pytest.raises(Exception, match="there is no trained generator at") as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, UserError)
    (tmp_path / "generator.keras").write_text("not a zip archive")
    with pytest.raises(Exception, match=r"generator\.keras is not a Keras model") as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, UserError)
