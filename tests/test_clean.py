"""What ``make clean`` leaves of data/.scratch."""

import os
import subprocess

from tests.conftest import REPOSITORY


def clean(folder):
    subprocess.run([REPOSITORY / "scripts/clean-scratch.sh"], cwd=folder, check=True)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_checkpoints_of_the_three_newest_trainings_stay(tmp_path):
    scratch = tmp_path / "data/.scratch"
    trainings = ["c/old", "a/new", "a/old", "b/new", "d/new"]
    for number, training in enumerate(trainings):
        folder = scratch / "checkpoints" / training
        folder.mkdir(parents=True)
        (folder / "step-000000010.npz").touch()
        os.utime(folder, (number, number))
    for other in ("checkpoints/a/step-000000010.npz", "crops/x/a.array_record", "unfinished_run"):
        (scratch / other).parent.mkdir(parents=True, exist_ok=True)
        (scratch / other).touch()
    kept = [f"data/.scratch/checkpoints/{training}/step-000000010.npz" for training in ("a/old", "b/new", "d/new")]
    assert clean(tmp_path) == kept
    assert not (scratch / "checkpoints/c").exists()
    assert clean(tmp_path) == kept


def test_there_may_be_nothing_to_clean(tmp_path):
    assert clean(tmp_path) == []
    (tmp_path / "data/.scratch/checkpoints").mkdir(parents=True)
    assert clean(tmp_path) == []
