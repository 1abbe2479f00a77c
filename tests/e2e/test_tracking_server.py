"""A tracking server that goes away while a training runs, and comes back."""

import mlflow
import pytest

from tests.conftest import PATIENCE
from tests.e2e.test_bad_input import error_of
from tests.servers import free_port, start, stop


class Server:
    """A real MLflow server with a SQLite store and artifacts of its own."""

    def __init__(self, folder):
        self._folder = folder
        folder.mkdir()
        self._port = free_port()
        self.address = f"http://127.0.0.1:{self._port}"
        self._process = None

    def start(self, project):
        store, artifacts = f"sqlite:///{self._folder}/mlflow.db", str(self._folder / "artifacts")
        command = ["server", "--backend-store-uri", store, "--artifacts-destination", artifacts]
        command += ["--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"]
        self._process = start(
            project.command("mlflow", *command),
            f"{self.address}/health",
            self._folder / "log",
            cwd=self._folder,
            env=project.environment(),
        )

    def stop(self):
        if self._process is not None:
            stop(self._process)
            self._process = None


@pytest.fixture
def server(tmp_path):
    found = Server(tmp_path / "server")
    yield found
    found.stop()


@pytest.fixture
def tracked(prepared, server, monkeypatch):
    """A project with crops that reports to the server."""
    environment = prepared.environment
    monkeypatch.setattr(
        prepared,
        "environment",
        lambda: environment() | {"MLFLOW_TRACKING_URI": server.address, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"},
    )
    return prepared


@pytest.mark.slow
def test_a_training_outlives_its_tracking_server(tracked, server):
    server.start(tracked)
    steps = "--params=recipes.sample.pretraining.steps=60"
    with tracked.started("kedro", "run", "--pipelines=train", steps) as run:
        run.wait_for("pretraining 10/60")
        server.stop()
        assert run.process.wait(timeout=PATIENCE) == 0, run.log.read_text()
    log = run.log.read_text()
    assert "the tracking store does not answer" in log
    assert "reports could not be sent to the tracking store; they wait in" in log
    assert tracked.path("data/06_models/generator.keras").is_file()
    assert any(tracked.path("data/.scratch/unsent").iterdir())

    server.start(tracked)
    tracked.kedro("run", "--pipelines=ingest")
    assert not any(tracked.path("data/.scratch/unsent").iterdir())
    client = mlflow.MlflowClient(server.address)
    runs = client.search_runs([client.get_experiment_by_name("sr-pipeline").experiment_id])
    run = next(run for run in runs if "train/pixel_loss" in run.data.metrics)
    assert run.info.status == "FINISHED"
    steps_of_losses = [point.step for point in client.get_metric_history(run.info.run_id, "train/pixel_loss")]
    assert steps_of_losses == list(range(2, 69, 2))
    assert "samples.png" in {file.path for file in client.list_artifacts(run.info.run_id)}
    assert client.list_artifacts(run.info.run_id, "images"), "the series of validation pictures"


def test_a_server_that_is_not_there_is_told_of_at_once(tracked, server):
    error = error_of(tracked.kedro("run", "--pipelines=ingest", check=False))
    assert f"the tracking store {server.address} does not answer" in error
    assert "unset MLFLOW_TRACKING_URI" in error
    assert not tracked.path("data/08_reporting/ingest_report.json").exists()


@pytest.mark.slow
def test_a_run_that_is_deleted_while_it_trains_costs_no_results(prepared):
    """Its generator is registered from a run of its own."""
    steps = "--params=recipes.sample.pretraining.steps=60"
    client = mlflow.MlflowClient(f"sqlite:///{prepared.folder}/mlflow.db")
    with prepared.started("kedro", "run", "--pipelines=train,evaluate,register", steps) as run:
        run.wait_for("pretraining 10/60")
        (deleted,) = client.search_runs([client.get_experiment_by_name("sr-pipeline").experiment_id])
        client.delete_run(deleted.info.run_id)
        assert run.process.wait(timeout=PATIENCE) == 0, run.log.read_text()
    (warning,) = [line for line in run.log.read_text().splitlines() if "WARNING" in line]
    assert f"the run {deleted.info.run_id} was deleted in the tracking store; the work goes on" in warning
    (other,) = client.search_runs([deleted.info.experiment_id])
    assert (other.info.run_name, other.info.status) == ("sample register", "FINISHED")
    champion = client.get_model_version_by_alias("sr-generator", "champion")
    assert champion.run_id == other.info.run_id
    assert "val/srgan/psnr_y" in other.data.metrics
