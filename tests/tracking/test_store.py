import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.tracking.store import open_store, set_up_store


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder that Kedro takes for a project, with a copy inside, as DVC makes them for queued experiments."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "project"
    for each in (folder, folder / "copy"):
        each.mkdir()
        (each / "pyproject.toml").write_text("[tool.kedro]\n")
    return folder


def test_a_copy_that_dvc_made_is_tracked_in_the_project_itself(project, monkeypatch):
    """The copy is removed afterwards, and with it a store that lay in it."""
    monkeypatch.setenv("DVC_ROOT", str(project))
    experiment = set_up_store(project / "copy").get_experiment_by_name("sr-pipeline")
    assert experiment.artifact_location == (project / "mlartifacts").as_uri()
    assert (project / "mlflow.db").is_file()
    assert [path.name for path in (project / "copy").iterdir()] == ["pyproject.toml"]


def test_reading_makes_no_store(project, monkeypatch):
    monkeypatch.chdir(project)
    with pytest.raises(UserError, match="there is no MLflow store in"):
        open_store()
    assert not (project / "mlflow.db").exists()
