"""Reports on their way to a real store (SQLite)."""

import mlflow
import pytest

from sr_pipeline.tracking import messages
from sr_pipeline.tracking.outbox import Message


@pytest.fixture
def run(client, tmp_path, monkeypatch):
    """The id of a run in the store that this process reports to."""
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return client.create_run(client.create_experiment("reports", str(tmp_path / "artifacts"))).info.run_id


def test_what_is_reported_arrives(client, run, tmp_path):
    (tmp_path / "report/val").mkdir(parents=True)
    (tmp_path / "report/val/errors.png").write_bytes(b"a picture")
    messages.connect(run)
    assert messages.connected_run() == run
    messages.tag_run({"device": "1 x CPU"})
    messages.log_training_progress({"pixel_loss": 0.5}, 7)
    messages.log_folder(tmp_path / "report")
    assert messages.disconnect("FAILED", "OSError: the disk is full") == 0
    assert messages.connected_run() is None
    assert messages.disconnect("KILLED") is None, "there is no run any more"
    told = client.get_run(run)
    assert told.info.status == "FAILED"
    assert (told.data.tags["device"], told.data.tags["error"]) == ("1 x CPU", "OSError: the disk is full")
    assert [(point.step, point.value) for point in client.get_metric_history(run, "train/pixel_loss")] == [(7, 0.5)]
    assert [file.path for file in client.list_artifacts(run)] == ["val_errors.png"]


def test_a_report_of_a_run_that_is_gone_does_not_wait_for_ever(run, caplog):
    """The store answers, but it will never take it: what comes after is sent."""
    messages.connect(run)
    messages._connection.outbox.put(Message("0" * 32, "tags", {"tags": {"device": "1 x CPU"}}))
    assert messages.disconnect("FINISHED") == 0
    assert "was deleted in the tracking store; the work goes on" in caplog.text
