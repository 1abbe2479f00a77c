import subprocess
import sys

import numpy as np
import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.training.checkpoint import Checkpoint, Checkpoints


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", keep=2)


def state(step):
    many = [np.full((2, 3), step + i, np.float32) for i in range(12)]
    arrays = {"generator": many, "generator_optimizer": [np.array(step, np.int64), np.float32(1e-4)]}
    return Checkpoint(
        step, "adversarial", arrays, [{"step": step, "phase": "adversarial", "loss": 0.1}], ["abc", "def"]
    )


def test_what_is_read_is_what_was_written(checkpoints):
    checkpoints.save(state(5))
    read = checkpoints.newest(10)
    assert (read.step, read.phase, read.history, read.codes) == (5, "adversarial", state(5).history, ["abc", "def"])
    assert read.arrays.keys() == state(5).arrays.keys()
    for name, arrays in state(5).arrays.items():
        assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(arrays, read.arrays[name], strict=True))


def test_only_the_newest_stay(checkpoints):
    for step in (5, 10, 15):
        checkpoints.save(state(step))
    assert [path.name for path in sorted(checkpoints.folder.iterdir())] == ["step-000000010.npz", "step-000000015.npz"]
    assert checkpoints.newest(99).step == checkpoints.newest_step == 15
    assert checkpoints.newest(12).step == 10
    assert checkpoints.newest(9) is None
    checkpoints.clear()
    assert checkpoints.newest(99) is checkpoints.newest_step is None


def test_the_last_step_counts_only_where_it_was_measured(checkpoints):
    """A training ends with a validation; what a longer one left at that step lacks it."""
    checkpoints.save(state(5))
    checkpoints.save(state(10))
    assert checkpoints.newest(10).step == 5
    measured = state(10)
    measured.history[-1]["validation_psnr_y"] = 20.0
    checkpoints.save(measured)
    assert checkpoints.newest(10).step == 10


HOLDER = """
import sys
from pathlib import Path
from sr_pipeline.training.checkpoint import Checkpoints
with Checkpoints(Path(sys.argv[1]), keep=2).alone():
    print("holds it", flush=True)
    sys.stdin.read()
"""


def test_one_training_at_a_time_until_its_process_ends_however_it_does(checkpoints):
    program = [sys.executable, "-c", HOLDER, str(checkpoints.folder)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "holds it\n"
        with (
            pytest.raises(UserError, match="this training is already running in another process; wait for its end"),
            checkpoints.alone(),
        ):
            pass
        with Checkpoints(checkpoints.folder, keep=2, writes=False).alone():
            pass  # of several machines that train together only one writes
        holder.kill()
        holder.wait()
    for _ in range(2):
        with checkpoints.alone():
            checkpoints.save(state(5))


def test_a_damaged_one_is_left_out(checkpoints, caplog):
    checkpoints.save(state(5))
    checkpoints.save(state(10))
    newest = checkpoints.folder / "step-000000010.npz"
    newest.write_bytes(newest.read_bytes()[:200])
    assert checkpoints.newest(99).step == 5
    assert "step-000000010.npz is damaged" in caplog.text


def test_what_killed_runs_left_goes(checkpoints):
    checkpoints.save(state(5))
    (checkpoints.folder / "step-000000010.npz.abc.partial").touch()
    checkpoints.save(state(10))
    assert not list(checkpoints.folder.glob("*.partial"))


def test_a_checkpoint_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write the checkpoint of step 5 into .*; make room and run again"):
        Checkpoints(tmp_path / "file/checkpoints", keep=2).save(state(5))
