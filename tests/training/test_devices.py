import json
import subprocess
import sys

import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.processor import processor_name
from sr_pipeline.training.cluster import is_chief
from sr_pipeline.training.devices import open_devices
from sr_pipeline.training.recipes import Recipe
from sr_pipeline.training.setup import TrainingSetup
from tests.conftest import PATIENCE, REPOSITORY, SHALLOW
from tests.training.tiny import train_on_crops

RECIPE = {
    "generator": {"filters": 4, "blocks": 1},
    "discriminator": {"filters": 4, "dense": 4},
    "batch_size": 4,
    "pretraining": {"steps": 3, "learning_rate": {"initial": 1e-3}},
    "adversarial": {"steps": 3, "learning_rate": {"initial": 1e-3}, "features": SHALLOW},
}
WASSERSTEIN = {
    **RECIPE,
    "discriminator": {"filters": 4, "dense": 4, "batch_normalization": False},
    "pretraining": None,
    "adversarial": {"steps": 3, "objective": "wasserstein", "features": SHALLOW},
    "ema_decay": 0.9,
}


@pytest.fixture(scope="module")
def alone_on_one_device(crops_of_size):
    """A training that asks for no distribution."""
    setup = TrainingSetup(Recipe.model_validate(RECIPE), FeatureExtractor("untrained", SHALLOW), crop_size=48, seed=3)
    return train_on_crops(crops_of_size(48, 20), setup)


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(RECIPE, id="logistic", marks=pytest.mark.slow),
        pytest.param(WASSERSTEIN, id="wasserstein", marks=pytest.mark.slow),
    ],
)
def test_two_devices_train_as_one_does(crops_of_size, recipe):
    crops = crops_of_size(48, 20)
    program = [sys.executable, "-m", "tests.training.mirrored", str(crops.folder), json.dumps(recipe)]
    done = subprocess.run(program, cwd=REPOSITORY, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[:2] == [["none", "1"], ["mirrored", "2"]]
    distances = [(name, float(value)) for name, value in lines[2:]]
    assert {name for name, _ in distances} == {"weights", "first_losses"}
    assert all(value < (0.05 if name == "weights" else 2e-3) for name, value in distances), done.stdout


@pytest.mark.parametrize("distribute", ["none", "mirrored"])
def test_a_single_device_trains_as_it_does_alone(crops_of_size, distribute, alone_on_one_device):
    recipe = Recipe.model_validate(RECIPE)
    devices = open_devices(distribute)
    assert devices.replicas == 1
    setup = TrainingSetup(recipe, FeatureExtractor("untrained", SHALLOW), crop_size=48, seed=3, devices=devices)
    result = train_on_crops(crops_of_size(48, 20), setup)
    assert result.history == alone_on_one_device.history


CLUSTER_OF_ONE = """
import json, os
os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": ["127.0.0.1:0"]}, "task": {"type": "worker", "index": 0}})
from sr_pipeline.training.devices import open_devices
import numpy as np
devices = open_devices("multi_worker")
step = devices.step_function(lambda hr, lr: {"sum": hr + lr})
print(devices.replicas, float(step(devices.split(np.float32([1, 2])), devices.split(np.float32([3, 4])))["sum"][1]))
"""


def test_a_cluster_of_one_worker_trains_as_it_does_alone():
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER_OF_ONE], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout.split() == ["1", "6.0"], done.stderr


def test_only_one_of_a_cluster_is_chief(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert is_chief("multi_worker")
    cluster = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
    for number, chief in ((0, True), (1, False)):
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": number}}))
        assert is_chief("multi_worker") is chief
        assert is_chief("none")
    cluster["chief"] = ["127.0.0.1:3"]
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 0}}))
    assert not is_chief("multi_worker")
    monkeypatch.setenv("TF_CONFIG", '{"cluster"')
    with pytest.raises(UserError, match="TF_CONFIG is not a JSON object with 'cluster' and 'task'"):
        is_chief("multi_worker")


def test_several_machines_need_to_know_of_each_other(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(UserError, match="multi_worker needs the environment variable TF_CONFIG"):
        open_devices("multi_worker")


def test_the_device_is_named():
    devices = open_devices("none")
    name = devices.kind if devices.compiled else f"{processor_name()} (CPU)"  # compiled on GPUs alone
    assert devices.describe() == f"1 x {name}"
