import json
import threading
from pathlib import Path

import pytest

from sr_pipeline.tracking import outbox as module
from sr_pipeline.tracking.outbox import Message, Outbox, RefusedError
from tests.conftest import PATIENCE


class Store:
    """Takes messages, unless it is down."""

    def __init__(self):
        self.received, self.tries, self.down = [], 0, False
        self.open = threading.Event()
        self.open.set()

    def __call__(self, message):
        self.tries += 1
        assert self.open.wait(PATIENCE)
        if self.down:
            raise ConnectionError("connection refused\nmore lines")
        if message.kind == "bad":
            raise RefusedError("never")
        content = Path(message.file).read_text() if message.file else message.content["n"]
        self.received.append(content)


def messages(numbers):
    return [Message("run", "metrics", {"n": n}) for n in numbers]


@pytest.fixture
def store():
    return Store()


def test_letters_arrive_in_order(store, tmp_path):
    outbox = Outbox(store, tmp_path / "unsent")
    for message in messages(range(50)):
        outbox.put(message)
    assert outbox.close() == 0
    assert store.received == list(range(50))
    assert not (tmp_path / "unsent").exists()


def test_a_slow_store_does_not_slow_the_work_down(store, tmp_path):
    store.open.clear()
    outbox = Outbox(store, tmp_path)
    for message in messages(range(20)):
        outbox.put(message)
    assert store.received == [], "none has arrived, and yet all are put"
    store.open.set()
    outbox.wait()
    assert store.received == list(range(20))


def test_a_store_that_comes_back_gets_everything_in_order(store, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    outbox = Outbox(store, tmp_path)
    for n, message in enumerate(messages(range(9))):
        store.down = 3 <= n < 6
        outbox.put(message)
        outbox.wait()
    assert outbox.close() == 0
    assert store.received == list(range(9))
    assert "the tracking store does not answer (connection refused); the work goes on" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_down_is_left_alone_for_a_while(store, tmp_path):
    store.down = True
    outbox = Outbox(store, tmp_path)
    for message in messages(range(30)):
        outbox.put(message)
    outbox.wait()
    assert store.tries == 1
    assert outbox.close() == 30


def test_a_store_that_answers_again_at_the_end_gets_everything(store, tmp_path):
    """Also within the time for which it is left alone."""
    store.down = True
    outbox = Outbox(store, tmp_path)
    outbox.put(messages([1])[0])
    outbox.wait()
    store.down = False
    assert outbox.close() == 0
    assert store.received == [1]


def test_processes_after_one_another_keep_what_they_report_in_order(store, tmp_path):
    store.down = True
    for n in range(0, 6, 2):
        outbox = Outbox(store, tmp_path)
        for message in messages([n, n + 1]):
            outbox.put(message)
        assert outbox.close() == n + 2
    store.down = False
    assert Outbox(store, tmp_path).close() == 0
    assert store.received == list(range(6))


def test_what_is_kept_is_sent_by_a_later_process(store, tmp_path):
    store.down = True
    report = tmp_path / "report.html"
    report.write_text("as it was")
    outbox = Outbox(store, tmp_path / "unsent")
    outbox.put(Message("run", "file", {}, str(report)))
    outbox.put(messages([1])[0])
    assert outbox.close() == 2
    report.write_text("as it became")
    store.down = False
    assert Outbox(store, tmp_path / "unsent").close() == 0
    assert store.received == ["as it was", 1]
    assert list((tmp_path / "unsent").iterdir()) == []


def test_what_was_kept_is_sent_before_and_beside_the_work(store, tmp_path, caplog):
    store.down = True
    earlier = Outbox(store, tmp_path)
    for message in messages(range(100)):
        earlier.put(message)
    assert earlier.close() == 100
    store.down, store.received = False, []
    store.open.clear()
    caplog.set_level("INFO")
    later = Outbox(store, tmp_path)
    later.put(messages([100])[0])
    assert store.received == [], "none has arrived, and yet the work goes on"
    assert "sending 100 reports of earlier runs to the tracking store, while the work goes on" in caplog.text
    store.open.set()
    assert later.close() == 0
    assert store.received == list(range(101))
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_at_the_end_is_told(store, tmp_path, caplog):
    caplog.set_level("INFO")
    store.open.clear()
    outbox = Outbox(store, tmp_path)
    for message in messages(range(60)):
        outbox.put(message)
    module.log.addFilter(lambda record: store.open.set() or True)  # it waits no longer once that is told
    try:
        assert outbox.close() == 0
    finally:
        module.log.filters.clear()
    (said,) = [record.getMessage() for record in caplog.records]
    assert said in [f"sending the last {count} reports to the tracking store" for count in (59, 60)]


def test_reports_that_cannot_be_removed_do_not_end_the_outbox(store, tmp_path, monkeypatch):
    (tmp_path / "1.json").write_text(json.dumps({"run": "r", "kind": "metrics", "content": {"n": 7}, "file": None}))
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(PermissionError("read-only")))
    outbox = Outbox(store, tmp_path)
    outbox.put(messages([8])[0])
    outbox.close()
    assert {7, 8} <= set(store.received)


def test_what_a_store_refuses_is_not_sent_again(store, tmp_path, caplog):
    outbox = Outbox(store, tmp_path)
    outbox.put(Message("run", "bad", {}))
    outbox.put(messages([2])[0])
    assert outbox.close() == 0
    assert store.received == [2]
    assert "refuses a report (bad), which is left out: never" in caplog.text


def test_a_damaged_kept_report_does_not_hold_up_the_others(store, tmp_path, caplog):
    (tmp_path / "1.json").write_text('{"run": ')
    (tmp_path / "2.json").write_text(json.dumps({"run": "r", "kind": "metrics", "content": {"n": 7}, "file": None}))
    assert Outbox(store, tmp_path).close() == 0
    assert store.received == [7]
    assert "1.json cannot be read" in caplog.text


def test_a_full_disk_loses_a_report_but_not_the_work(store, tmp_path, monkeypatch, caplog):
    store.down = True
    monkeypatch.setattr(module, "write_text", lambda *_: (_ for _ in ()).throw(OSError("no space left on device")))
    outbox = Outbox(store, tmp_path)
    outbox.put(messages([1])[0])
    outbox.wait()
    assert "can neither be sent nor kept: no space left" in caplog.text
