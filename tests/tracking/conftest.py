"""Stores of MLflow in files, and an MLflow that forgets between tests."""

import os
import shutil

import mlflow
import pytest

from sr_pipeline.tracking.store import EXPERIMENT

NAME = "sr-generator"


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory):
    """The file of a store with a registered model that has no version; making its tables takes seconds."""
    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}").create_registered_model(NAME)
    return file


@pytest.fixture
def client(empty_registry, tmp_path):
    return mlflow.MlflowClient(f"sqlite:///{shutil.copy(empty_registry, tmp_path)}")


@pytest.fixture(scope="session")
def made_store(tmp_path_factory):
    """The file of a store with the experiment; making its tables takes seconds."""
    folder = tmp_path_factory.mktemp("made_store")
    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    client.create_experiment(EXPERIMENT, artifact_location=(folder / "mlartifacts").as_uri())
    return folder / "mlflow.db"


@pytest.fixture
def project_folder(made_store, tmp_path, monkeypatch):
    """A project folder with such a store, which is the current folder; MLflow's settings end with the test."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "DVC_"))]:
        del os.environ[name]
    mlflow.set_tracking_uri(None)
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(made_store, folder)
    monkeypatch.chdir(folder)
    yield folder
    mlflow.set_tracking_uri(None)
    os.environ.clear()
    os.environ.update(before)
