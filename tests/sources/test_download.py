import hashlib
import socket

import numpy as np
import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.sources.download import Download, Downloader, Patience
from tests.sources.server import serving

CONTENT = np.random.default_rng(0).bytes(700_000)
QUICK = Patience(attempts=3, first_wait=0.01, timeout=2)


@pytest.fixture
def server():
    with serving() as running:
        running.files["a.zip"] = CONTENT
        yield running


def fetch(*downloads, max_failures=0, patience=QUICK):
    return Downloader(4, patience).fetch(downloads, "files", max_failures)


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_file_arrives_and_is_not_asked_for_again(server, tmp_path):
    job = Download(server.url("a.zip"), tmp_path / "sub/a.zip", len(CONTENT), hashlib.md5(CONTENT).hexdigest())
    assert fetch(job) == {}
    assert job.target.read_bytes() == CONTENT
    assert names(job.target.parent) == ["a.zip"]
    fetch(job)
    assert len(server.requests) == 1


def test_dropped_connections_are_taken_up_where_they_broke(server, tmp_path):
    server.faults["a.zip"] = [("drop", 100_000), ("drop", 200_000), 503, ("drop", 1), 500, ("drop", 0)]
    fetch(Download(server.url("a.zip"), tmp_path / "a.zip"))
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    starts = [wanted for _, wanted in server.requests]
    assert starts[0] is None
    assert starts[1] == "bytes=100000-"
    assert starts[-1] == "bytes=300001-"


def test_without_a_version_a_broken_download_starts_over(server, tmp_path):
    """What has arrived may be of another file by then."""
    server.versions = False
    server.faults["a.zip"] = [("drop", 100_000)]
    fetch(Download(server.url("a.zip"), tmp_path / "a.zip"))
    assert (tmp_path / "a.zip").read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, None]
    assert names(tmp_path) == ["a.zip"]


def test_a_later_run_takes_up_what_an_earlier_one_left(server, tmp_path):
    server.faults["a.zip"] = [("drop", 300_000), 500, 500, 500, 500]
    job = Download(server.url("a.zip"), tmp_path / "a.zip")
    with pytest.raises(
        UserError, match=r"1 of 1 downloads of files failed, the last: .*a\.zip \(the server answered 500"
    ):
        fetch(job)
    assert not job.target.exists()
    server.faults.clear()
    fetch(job)
    assert server.requests[-1] == ("a.zip", "bytes=300000-")
    assert job.target.read_bytes() == CONTENT
    assert names(tmp_path) == ["a.zip"]


def test_a_file_that_changed_meanwhile_begins_anew(server, tmp_path):
    server.faults["a.zip"] = [("drop", 300_000), 500, 500, 500, 500]
    job = Download(server.url("a.zip"), tmp_path / "a.zip")
    with pytest.raises(UserError):
        fetch(job)
    server.faults.clear()
    server.files["a.zip"] = CONTENT[::-1]
    fetch(job)
    assert job.target.read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges(server, tmp_path):
    server.ranges = False
    server.faults["a.zip"] = [("drop", 300_000), ("drop", 500_000)]
    fetch(Download(server.url("a.zip"), tmp_path / "a.zip"))
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_a_server_that_never_gets_further_is_given_up(server, tmp_path):
    server.ranges = False
    server.faults["a.zip"] = [("drop", 300_000)] * 50
    with pytest.raises(UserError, match="the connection broke"):
        fetch(Download(server.url("a.zip"), tmp_path / "a.zip"))
    assert len(server.requests) == 1 + QUICK.attempts
    assert not (tmp_path / "a.zip").exists()


def test_a_partial_file_longer_than_the_whole(server, tmp_path):
    (tmp_path / "a.zip.partial").write_bytes(CONTENT + b"more")
    version = f'"{hashlib.md5(CONTENT).hexdigest()}"'
    (tmp_path / "a.zip.partial.version").write_text(version)
    fetch(Download(server.url("a.zip"), tmp_path / "a.zip"))
    assert (tmp_path / "a.zip").read_bytes() == CONTENT


def test_one_missing_file_does_not_stop_the_others(server, tmp_path, caplog):
    jobs = [Download(server.url(name), tmp_path / name) for name in ("gone.jpg", "a.zip")]
    failures = fetch(*jobs, max_failures=1)
    assert failures == {tmp_path / "gone.jpg": "the server answered 404 Not Found"}
    assert "gone.jpg was not downloaded: the server answered 404" in caplog.text
    assert names(tmp_path) == ["a.zip"]
    assert [path for path, _ in server.requests].count("gone.jpg") == 1, "404 will not get better"


def test_too_many_missing_files_stop_the_run(server, tmp_path):
    jobs = [Download(server.url(f"{number}.jpg"), tmp_path / f"{number}.jpg") for number in range(200)]
    with pytest.raises(UserError, match=r"4 of 4 downloads of files failed"):
        fetch(*jobs, max_failures=3)
    assert len(server.requests) < 100


def test_wrong_size_and_wrong_checksum(server, tmp_path):
    with pytest.raises(UserError, match="the server has 700000 bytes instead of the expected 5"):
        fetch(Download(server.url("a.zip"), tmp_path / "a.zip", size=5))
    with pytest.raises(UserError, match="the MD5 of what arrived is not the expected one"):
        fetch(Download(server.url("a.zip"), tmp_path / "a.zip", md5="0" * 32))
    assert names(tmp_path) == []


def test_an_answer_without_a_length_is_not_trusted(server, tmp_path):
    server.faults["a.zip"] = ["no length"]
    with pytest.raises(UserError, match="does not state its length"):
        fetch(Download(server.url("a.zip"), tmp_path / "a.zip"))
    assert names(tmp_path) == []


def test_nobody_answers(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(UserError, match="no connection to the server"):
        fetch(Download(f"http://127.0.0.1:{port}/a", tmp_path / "a"))


def test_a_server_that_accepts_and_then_says_nothing(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(UserError, match="did not answer in time"):
            fetch(
                Download(f"http://127.0.0.1:{silent.getsockname()[1]}/a", tmp_path / "a"),
                patience=Patience(attempts=2, first_wait=0.01, timeout=0.2),
            )


def test_a_target_that_cannot_be_written(server, tmp_path):
    (tmp_path / "a.zip.partial").mkdir()
    with pytest.raises(UserError, match=r"a\.zip cannot be written"):
        fetch(Download(server.url("a.zip"), tmp_path / "a.zip"))
