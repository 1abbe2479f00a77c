import shutil

import mlflow
import pytest

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
