"""Names of models, looked up in a real registry (SQLite)."""

import mlflow
import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.tracking.model_names import REGISTERED, registered_labels, resolve_model


@pytest.fixture
def store(client, tmp_path, monkeypatch):
    """Three versions, of which the second is the champion; the store is named as users name theirs."""
    for _ in range(3):
        client.create_model_version(REGISTERED, source="file:///nowhere")
    client.set_registered_model_alias(REGISTERED, "champion", "2")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)  # another test may have set one, which would rule over the variable


@pytest.mark.usefixtures("store")
def test_what_can_be_chosen():
    """Aliases first, then the newest version; no version twice."""
    labels = registered_labels()
    assert list(labels) == ["champion", "3", "1"]
    assert labels["champion"] == "sr-generator, champion (version 2)"
    assert labels["3"] == "sr-generator, version 3"


def test_without_a_store_nothing_can_be_chosen(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert registered_labels() == {}
    with pytest.raises(UserError, match=r"model 3 is looked up in the MLflow registry, but there is no MLflow store"):
        resolve_model("3")
    assert resolve_model("some.keras") == "some.keras"


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("name", "uri"),
    [("9", "sr-generator/9"), ("staging", "sr-generator@staging"), ("models:/other/1", "other/1")],
)
def test_names_are_versions_aliases_or_whole_addresses(name, uri):
    with pytest.raises(UserError, match=f"models:/{uri}"):
        resolve_model(name)
