"""Messages on their way to real MLflow stores: a SQLite file, and a server that loses what a test wants lost."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
from PIL import Image

from sr_pipeline.tracking import outbox as outbox_module
from sr_pipeline.tracking.outbox import Message, Outbox, RefusedError
from sr_pipeline.tracking.sending import MlflowSender
from tests.conftest import REPOSITORY, Project
from tests.servers import free_port, running
from tests.tracking.gateway import Gateway


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a real MLflow server."""
    folder, address = tmp_path_factory.mktemp("server"), f"http://127.0.0.1:{free_port()}"
    project = Project.at(REPOSITORY)
    command = ["server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--host", "127.0.0.1"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "1"]
    command += ["--port", address.rpartition(":")[2]]
    with running(
        project.command("mlflow", *command),
        f"{address}/health",
        folder / "log",
        cwd=folder,
        env=project.environment() | {"MLFLOW_DISABLE_TELEMETRY": "true"},
    ):
        yield address


@pytest.fixture
def gateway(server, monkeypatch):
    """A gateway to that server, and what does not answer is tried once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(outbox_module, "PATIENCE", 0.0)
    gateway = Gateway(server)
    yield gateway
    gateway.close()


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"


def begin(address):
    """A new run of the store at this address, and its client."""
    mlflow.set_tracking_uri(address)
    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name("tests")
    experiment = found.experiment_id if found else client.create_experiment("tests", **_artifacts(address))
    return client, client.create_run(experiment).info.run_id


def _artifacts(address):
    if address.startswith("http"):
        return {}
    return {"artifact_location": Path(address.removeprefix("sqlite:///")).with_name("artifacts").as_uri()}


@pytest.fixture
def run(database):
    return begin(database)


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "4.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 600, 3), np.uint8)).save(file)
    return file


def steps(run, step, time=None, **metrics):
    metrics = {f"train/{name}": value for name, value in (metrics or {"loss": step / 10, "seconds": step / 7}).items()}
    return Message(run, "steps", {"metrics": metrics, "step": step, "time": time or 1000 * step})


def pictured(run, file, step=4, time=4000):
    return Message(run, "picture", {"key": "validation", "step": step, "time": time}, str(file))


def history(client, run, name="train/loss"):
    return [(point.step, point.value) for point in client.get_metric_history(run, name)]


def images(client, run):
    return sorted(Path(file.path).name for file in client.list_artifacts(run, "images"))


def test_steps_that_are_computed_again_after_a_kill_are_logged_once(run):
    """Whichever metric: losses come out the same, times do not, and MLflow keeps all that differ."""
    client, identity = run
    killed = MlflowSender()
    for step in (2, 4, 6):
        killed(steps(identity, step))
    resumed = MlflowSender()  # from a checkpoint of step 2
    for step in (4, 6, 8):
        resumed(steps(identity, step, time=9000 + step, loss=step / 10, seconds=step))
    assert history(client, identity) == [(step, step / 10) for step in (2, 4, 6, 8)]
    seconds = history(client, identity, "train/seconds")
    assert seconds == [(2, 2 / 7), (4, 4 / 7), (6, 6 / 7), (8, 8.0)]


def test_a_metric_that_a_killed_process_did_not_log_is_logged(run):
    client, identity = run
    MlflowSender()(steps(identity, 2, loss=0.5))
    MlflowSender()(steps(identity, 2, loss=0.6, psnr=30.0))
    assert history(client, identity) == [(2, 0.5)]
    assert history(client, identity, "train/psnr") == [(2, 30.0)]


def test_a_new_measurement_counts_although_the_run_has_one(run):
    """Figures of an evaluation have no steps."""
    client, identity = run
    sender = MlflowSender()
    for value in (30.0, 31.0):
        sender(Message(identity, "metrics", {"metrics": {"val/psnr_y": value}, "step": 0, "time": int(value)}))
    assert client.get_run(identity).data.metrics["val/psnr_y"] == 31.0


def test_a_picture_is_as_mlflow_logs_one(run, picture):
    client, identity = run
    MlflowSender()(pictured(identity, picture))
    other = begin(mlflow.get_tracking_uri())[1]
    client.log_image(other, mlflow.Image(str(picture)), key="validation", step=4, timestamp=4000)
    ours, theirs = (
        [name.rpartition("+timestamp+4000+") for name in images(client, each)] for each in (identity, other)
    )
    assert [name[:2] for name in ours] == [name[:2] for name in theirs]
    assert [name[2][36:] for name in ours] == [name[2][36:] for name in theirs] == ["+compressed.webp", ".png"]
    assert client.get_run(identity).data.tags["mlflow.loggedImages"] == "True"
    assert client.get_run(other).data.tags["mlflow.loggedImages"] == "True"
    for name, expected in zip(images(client, identity), images(client, other), strict=True):
        pair = [
            np.asarray(Image.open(client.download_artifacts(*each)))
            for each in ((identity, f"images/{name}"), (other, f"images/{expected}"))
        ]
        assert np.array_equal(*pair)


def test_a_picture_that_is_made_again_after_a_kill_replaces_the_first(run, picture):
    client, identity = run
    MlflowSender()(pictured(identity, picture))
    before = images(client, identity)
    Image.new("RGB", (60, 40), "red").save(picture)
    MlflowSender()(pictured(identity, picture, time=9000))
    assert images(client, identity) == before
    png = client.download_artifacts(identity, f"images/{before[1]}")
    assert Image.open(png).getpixel((0, 0)) == (255, 0, 0)


def is_preview(method, path):
    return method == "PUT" and path.endswith("compressed.webp")


@pytest.mark.parametrize("by", ["the same process", "a later one"])
def test_a_picture_is_sent_once_though_the_store_dies_between_its_two_files(gateway, picture, tmp_path, by):
    client, identity = begin(gateway.address)
    gateway.loses = is_preview
    outbox = Outbox(MlflowSender(), tmp_path / "unsent")
    outbox.put(pictured(identity, picture))
    outbox.wait()
    assert [name[-4:] for name in images(client, identity)] == [".png"]
    if by == "a later one":
        assert outbox.close() == 1
        gateway.loses = lambda method, path: False
        outbox = Outbox(MlflowSender(), tmp_path / "unsent")
    gateway.loses = lambda method, path: False
    assert outbox.close() == 0
    names = images(client, identity)
    assert [name[-4:] for name in names] == ["webp", ".png"], "one picture, and its preview"
    assert names[0].removesuffix("+compressed.webp") == names[1].removesuffix(".png")


@pytest.mark.parametrize("lost", ["metrics", "a picture"])
def test_what_the_store_took_is_sent_once_though_its_answer_was_lost(gateway, picture, tmp_path, lost):
    client, identity = begin(gateway.address)
    gateway.loses_answers = lambda method, path: "log-batch" in path or is_preview(method, path)
    outbox = Outbox(MlflowSender(), tmp_path / "unsent")
    outbox.put(steps(identity, 4) if lost == "metrics" else pictured(identity, picture))
    outbox.wait()
    assert any((tmp_path / "unsent").glob("*.json"))
    gateway.loses_answers = lambda method, path: False
    assert outbox.close() == 0
    assert (len(history(client, identity)), len(images(client, identity))) == ((1, 0) if lost == "metrics" else (0, 2))


def test_all_kept_reports_arrive_in_order_at_a_slow_server(gateway, tmp_path, caplog):
    client, identity = begin(gateway.address)
    gateway.loses = lambda method, path: True
    earlier = Outbox(MlflowSender(), tmp_path / "unsent")
    for step in range(1, 41):
        earlier.put(steps(identity, step))
    assert earlier.close() == 40
    gateway.loses, gateway.delay, gateway.requests = (lambda method, path: False), 0.05, []
    caplog.set_level("INFO")
    later = Outbox(MlflowSender(), tmp_path / "unsent")
    assert "sending 40 reports of earlier runs" in caplog.text
    later.put(steps(identity, 41))
    assert later.close() == 0
    assert history(client, identity) == [(step, step / 10) for step in range(1, 42)]
    assert list((tmp_path / "unsent").iterdir()) == []


def test_a_finished_run_is_not_said_to_be_killed(run):
    """A start after its end, which the store did not hear of yet, marks it so."""
    client, identity = run
    client.set_tag(identity, "error", "killed without warning; seen at the next start")
    client.set_terminated(identity, "KILLED")
    MlflowSender()(Message(identity, "end", {"status": "FINISHED", "time": 5}))
    found = client.get_run(identity)
    assert (found.info.status, found.info.end_time) == ("FINISHED", 5)
    assert "error" not in found.data.tags


def test_a_failed_run_keeps_its_reason(run):
    client, identity = run
    sender = MlflowSender()
    sender(Message(identity, "tags", {"tags": {"error": "no room"}}))
    sender(Message(identity, "end", {"status": "FAILED", "time": 5}))
    assert client.get_run(identity).data.tags["error"] == "no room"


@pytest.mark.parametrize(
    "message",
    [
        Message("0" * 32, "steps", {"metrics": {"train/loss": 1.0}, "step": 1, "time": 1}),
        Message("0" * 32, "end", {"status": "FINISHED", "time": 1}),
        Message("0" * 32, "file", {}, "/nowhere/report.html"),
        Message("0" * 32, "something new", {}),
    ],
    ids=lambda message: message.kind,
)
def test_what_can_never_be_sent_is_refused(database, message):
    """Or it would hold up all that comes after it."""
    mlflow.set_tracking_uri(database)
    with pytest.raises(RefusedError):
        MlflowSender()(message)


def test_what_is_kept_is_plain(run, tmp_path):
    """Later releases must be able to read it."""

    def down(message):
        raise ConnectionError

    outbox = Outbox(down, tmp_path)
    outbox.put(steps(run[1], 2, loss=float("inf")))
    assert outbox.close() == 1
    (file,) = tmp_path.glob("*.json")
    assert json.loads(file.read_text())["content"]["metrics"] == {"train/loss": float("inf")}
    assert Outbox(MlflowSender(), tmp_path).close() == 0
    assert list(tmp_path.iterdir()) == []
    assert [step for step, _ in history(*run)] == [2]
