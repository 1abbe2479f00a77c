"""Stores that cannot be used: one line says what is wrong and what helps."""

import os
import socket
import sqlite3

import mlflow
import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.tracking.store import EXPERIMENT, open_store, set_up_store


def error_of(folder):
    """What the user reads: one line."""
    with pytest.raises(UserError) as raised:
        set_up_store(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def client_of(folder):
    return mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")


def test_a_locked_database(project_folder):
    other = sqlite3.connect(project_folder / "mlflow.db", isolation_level=None)
    other.execute("begin exclusive")
    try:
        assert "mlflow.db is locked by another program; let it finish or close it" in error_of(project_folder)
    finally:
        other.close()
    assert set_up_store(project_folder).get_experiment_by_name(EXPERIMENT)


def test_a_file_that_is_not_a_database(project_folder):
    (project_folder / "mlflow.db").write_bytes(b"garbage" * 1000)
    error = error_of(project_folder)
    assert "mlflow.db is damaged, or not a database; restore it from a copy, or move it away" in error
    assert "MLFLOW_TRACKING_URI" not in error, "which the user has not set"


def test_a_database_with_damaged_pages(project_folder):
    file = project_folder / "mlflow.db"
    content = file.read_bytes()
    file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    assert "mlflow.db is damaged; restore it from a copy" in error_of(project_folder)


def test_a_database_of_another_release_of_mlflow(project_folder):
    with sqlite3.connect(project_folder / "mlflow.db") as database:
        database.execute("update alembic_version set version_num = '0584bdc529eb'")
    database.close()
    error = error_of(project_folder)
    assert f"run mlflow db upgrade 'sqlite:///{project_folder}/mlflow.db'" in error
    assert "start it" not in error


def test_a_deleted_experiment_can_be_restored(project_folder):
    client = client_of(project_folder)
    identity = client.get_experiment_by_name(EXPERIMENT).experiment_id
    client.delete_experiment(identity)
    error = error_of(project_folder)
    assert "the experiment sr-pipeline was deleted in the tracking store" in error
    assert f"mlflow experiments restore --experiment-id {identity}" in error
    client.restore_experiment(identity)
    set_up_store(project_folder)


def test_a_folder_of_files(project_folder):
    os.environ["MLFLOW_TRACKING_URI"] = (project_folder / "mlruns").as_uri()
    assert "mlflow migrate-filestore --source" in error_of(project_folder)


@pytest.mark.parametrize(
    ("address", "package"),
    [("postgresql+pg8000://u:secret@127.0.0.1:1/x", "pg8000"), ("mysql+aiomysql://u:secret@127.0.0.1:1/x", "aiomysql")],
)
def test_a_driver_that_is_not_installed(project_folder, address, package):
    os.environ["MLFLOW_TRACKING_URI"] = address
    error = error_of(project_folder)
    assert f"needs a package that is not installed; pip install '{package}'" in error
    assert "secret" not in error


def test_a_folder_that_cannot_be_made(project_folder):
    (project_folder / "file").touch()
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{project_folder}/file/mlflow.db"
    assert "file/mlflow.db cannot be used (" in error_of(project_folder)


@pytest.mark.parametrize("name", ["a%41b", "a?b", "a#b", "ä b", "100%"])
def test_the_store_is_in_the_project_whatever_its_name(project_folder, made_store, name):
    folder = project_folder / "of" / name
    folder.mkdir(parents=True)
    (folder / "mlflow.db").write_bytes(made_store.read_bytes())
    found = set_up_store(folder)
    identity = found.MlflowClient().create_run(found.get_experiment_by_name(EXPERIMENT).experiment_id).info.run_id
    assert [path.name for path in folder.parent.iterdir()] == [name], "nothing is made elsewhere"
    with sqlite3.connect(folder / "mlflow.db") as database:
        assert database.execute("select run_uuid from runs").fetchall() == [(identity,)]
    database.close()


@pytest.fixture
def silent_server():
    """Address of a server that accepts connections and never answers, and the connections that came."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", listening


def attempts(listening):
    """How many connections wait to be accepted."""
    count = 0
    while True:
        try:
            listening.accept()[0].close()
        except TimeoutError:
            return count
        count += 1


def test_a_silent_server_is_given_up_after_two_attempts(project_folder, silent_server):
    address, listening = silent_server
    os.environ["MLFLOW_TRACKING_URI"] = address
    error = error_of(project_folder)
    assert f"the tracking store {address} does not answer" in error
    assert "read timeout=5" in error
    assert attempts(listening) == 2
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "20", "later on, a slow server is given time"


def test_settings_of_the_user_are_kept(project_folder, silent_server):
    address, listening = silent_server
    own = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    os.environ.update(own, MLFLOW_TRACKING_URI=address)
    assert f"the tracking store {address} does not answer" in error_of(project_folder)
    assert attempts(listening) == 1
    assert {name: os.environ[name] for name in own} == own


def test_another_experiment_has_its_files_in_the_project_too(project_folder):
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "mine"
    set_up_store(project_folder)
    location = client_of(project_folder).get_experiment_by_name("mine").artifact_location
    assert location == (project_folder / "mlartifacts").as_uri()


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
