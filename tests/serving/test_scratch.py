import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from sr_pipeline.serving.scratch import scratch_folder

STAY = (
    "from sr_pipeline.serving.scratch import scratch_folder\n"
    "with scratch_folder() as folder:\n"
    "    (folder / 'picture').write_text('x')\n"
    "    print(folder, flush=True)\n"
    "    input()"
)


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def other(temporary):
    """Another process that has a scratch folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", STAY],
        env=os.environ | {"TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()


def test_it_is_gone_afterwards(temporary):
    with scratch_folder() as folder:
        assert folder.parent == temporary
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_removed_at_the_next_start(other):
    process, left = other
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Path(left).exists()
    with scratch_folder():
        assert not Path(left).exists()


def test_what_a_living_process_uses_stays(other):
    _, used = other
    with scratch_folder():
        assert Path(used, "picture").exists()


@pytest.mark.parametrize(("age", "stays"), [(0, True), (7200, False)])
def test_a_folder_without_a_lock_is_removed_once_it_is_old(temporary, age, stays):
    """A page that starts just now has none yet; one that was written into after its page had ended never gets one."""
    folder = temporary / "sr-pipeline-app-left"
    (folder / "job").mkdir(parents=True)
    then = time.time() - age
    os.utime(folder, (then, then))
    with scratch_folder():
        assert folder.exists() == stays
