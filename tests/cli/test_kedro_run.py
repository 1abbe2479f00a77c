import subprocess
import sys

import pytest
from kedro.io import DatasetError

from sr_pipeline.cli.kedro_run import _one_line, run
from sr_pipeline.datasets.keras_generators import KerasGeneratorsDataset
from tests.conftest import REPOSITORY


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["--params=a=1,c.d=2"], {"a": 1, "c": {"d": 2}}),
        (["--params", "a=1,c.d=2", "--params", "b=x,c.e=[3]"], {"a": 1, "b": "x", "c": {"d": 2, "e": [3]}}),
        (["--params=a=1", "--params=a=2"], {"a": 2}),
    ],
)
def test_all_parameters_count(arguments, expected):
    assert run.make_context("run", list(arguments)).params["params"] == expected


def test_the_package_is_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "sr_pipeline", "--version"], capture_output=True, text=True, check=True, cwd="/"
    )
    assert "version" in done.stdout


def test_run_is_what_kedro_run_is(tmp_path):
    program = [sys.executable, "-m", "sr_pipeline", "run"]
    done = subprocess.run([*program, "--help"], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert "--only-missing-outputs" in done.stdout
    for part in ("", "conf/base"):
        (tmp_path / part).mkdir(parents=True, exist_ok=True)
        done = subprocess.run(program, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr.endswith("is not the folder of a project: it needs pyproject.toml and conf/base\n")


def test_of_an_error_that_kedro_wraps_the_users_part_is_said(tmp_path):
    dataset = KerasGeneratorsDataset(filepath=str(tmp_path), files={"srgan": "generator.keras"})
    with pytest.raises(DatasetError) as wrapped:
        dataset.load()
    assert _one_line(wrapped.value) == (
        f"there is no trained generator at {tmp_path}/generator.keras; make one with kedro run --pipelines=train"
    )
