import mlflow
import pytest
from click.testing import CliRunner

from sr_pipeline.cli.promote import promote


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Of a store with two versions of sr-generator and one of another model."""
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)  # another test may have set one, which would rule over the variable
    client = mlflow.MlflowClient()
    for name in ("sr-generator", "sr-generator", "other"):
        if name not in {model.name for model in client.search_registered_models()}:
            client.create_registered_model(name)
        client.create_model_version(name, source="file:///nowhere")
    return client


def said(*arguments):
    done = CliRunner().invoke(promote, arguments)
    return done.exit_code, done.stdout if done.exit_code == 0 else done.stderr


def test_a_version_or_the_way_back(client):
    assert said("1") == (0, "sr-generator version 1 is champion\n")
    assert said("2") == (0, "sr-generator version 2 is champion; version 1 was\n")
    assert said("--rollback") == (0, "sr-generator version 1 is champion; version 2 was\n")
    assert said("1", "--model", "other") == (0, "other version 1 is champion\n")
    assert int(client.get_model_version_by_alias("sr-generator", "champion").version) == 1
    for arguments in ((), ("1", "--rollback")):
        code, error = said(*arguments)
        assert code == 2
        assert "name either a VERSION or --rollback" in error
