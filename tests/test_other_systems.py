"""What Python has on Linux alone is removed, as on macOS and Windows, and programs run all the same."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.installation import TRAINING, require
from tests.conftest import REPOSITORY

LINUX_ONLY = {
    "os": [
        *(name for name in dir(os) if name.startswith(("sched_", "posix_f", "memfd_", "pidfd_", "eventfd", "EFD_"))),
        *("O_DIRECT", "O_TMPFILE", "copy_file_range", "getrandom", "getxattr", "listxattr", "pipe2", "splice"),
    ],
    "select": ["epoll"],
}
POSIX_ONLY = {
    "os": ["fork", "getgid", "getuid", "geteuid", "killpg", "mkfifo", "setpgid", "setsid", "statvfs", "wait4"],
    "signal": ["SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "alarm", "pthread_kill", "setitimer"],
}
POSIX_MODULES = ["fcntl", "grp", "pwd", "resource", "termios"]


@pytest.fixture
def without(tmp_path):
    """The environment of programs whose Python lacks the given names, and modules."""

    def environment(*names, modules=()):
        lines = [
            f"import {module}\nfor name in {sorted(listed)}:\n    vars({module}).pop(name, None)"
            for removed in names
            for module, listed in removed.items()
        ]
        lines.append(f"import sys\nsys.modules.update(dict.fromkeys({list(modules)}))")
        folder = tmp_path / "removed"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text("\n".join(lines))
        environment = os.environ | {"PYTHONPATH": str(folder)}
        check = "import os; assert not hasattr(os, 'posix_fallocate') and not hasattr(os, 'sched_getaffinity')"
        subprocess.run([sys.executable, "-c", check], env=environment, check=True)
        return environment

    return environment


def run(command, environment, folder):
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def enlarge(picture, environment, *options):
    """What ``sr-pipeline upscale --json`` says of the picture."""
    program = "from sr_pipeline.cli.main import main; main()"
    command = [sys.executable, "-c", program, "upscale", "--engine", "onnx", "--json", str(picture), *options]
    done = run(command, environment, picture.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    [result] = json.loads(done.stdout)
    return Image.open(result["output"])


def test_enlarging_as_on_windows(without, tmp_path, photograph):
    Image.fromarray(photograph[:30, :45]).save(tmp_path / "cat.png")
    expected = enlarge(tmp_path / "cat.png", dict(os.environ), "-o", str(tmp_path / "expected.png"))
    enlarged = enlarge(tmp_path / "cat.png", without(LINUX_ONLY, POSIX_ONLY, modules=POSIX_MODULES))
    assert enlarged.size == (180, 120)
    assert np.array_equal(np.asarray(enlarged), np.asarray(expected))


def test_a_large_picture_whose_result_waits_on_the_disk(without, tmp_path, photograph):
    from tests.inference.conftest import build_random

    build_random().save(tmp_path / "small.keras")
    Image.fromarray(photograph).resize((1100, 1000)).save(tmp_path / "cat.jpg", quality=90)
    environment = without(LINUX_ONLY, POSIX_ONLY, modules=POSIX_MODULES)
    enlarged = enlarge(tmp_path / "cat.jpg", environment, "--model", str(tmp_path / "small.keras"))
    assert enlarged.size == (4400, 4000)  # 70 MB: more than is held in memory
    assert {path.name for path in tmp_path.iterdir()} == {"cat.jpg", "cat_x4.jpg", "removed", "small.keras"}


def test_photographs_and_crops_as_on_macos(without, project):
    """With Dask's processes, which inherit what is removed."""
    command = project.command("kedro", "run", "--pipelines=ingest,materialize", "--params=materialize.workers=2")
    done = run(command, project.environment() | without(LINUX_ONLY), project.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    index = json.loads(project.path("data/05_model_input/crops/train/index.json").read_text())
    assert index["count"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_types_say_that_nothing_is_used_that_another_system_lacks(system, tmp_path):
    """The types of Python's own library say what each system has."""
    pytest.importorskip("mypy", reason="needs the extra dev")
    command = [sys.executable, "-m", "mypy", "--platform", system, "--cache-dir", str(tmp_path)]
    done = run(command, dict(os.environ), REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def on(monkeypatch):
    """Pretends to be on that system, without some packages."""

    def pretend(system, machine, *missing):
        monkeypatch.setattr(platform, "system", lambda: system)
        monkeypatch.setattr(platform, "machine", lambda: machine)
        for name in missing:
            monkeypatch.setitem(sys.modules, name, None)

    return pretend


@pytest.mark.parametrize(
    ("system", "machine", "missing", "sentence"),
    [
        (
            *("Windows", "AMD64", ["array_record", "grain"]),
            "the pipeline does not run on Windows, for which array-record has no release: run it in WSL2 (Windows "
            "Subsystem for Linux) or a container, with Linux; enlarging pictures works here",
        ),
        (
            *("Darwin", "x86_64", ["array_record", "tensorflow"]),
            "the pipeline does not run on Macs with Intel processors, for which array-record and tensorflow have no "
            "release: run it in a container, with Linux; enlarging pictures works here",
        ),
        (
            *("Darwin", "arm64", ["grain"]),
            'the pipeline needs grain, not installed here: pip install "sr-pipeline[pipeline]"',
        ),
        (
            *("Linux", "x86_64", ["tensorflow"]),
            'the pipeline needs tensorflow, not installed here: pip install "sr-pipeline[pipeline]"',
        ),
    ],
)
def test_systems_without_all_packages(on, system, machine, missing, sentence):
    require(*TRAINING)
    on(system, machine, *missing)
    with pytest.raises(UserError) as error:
        require(*TRAINING)
    assert str(error.value) == sentence


def test_writing_and_reading_crops_says_so_too(on, tmp_path):
    from sr_pipeline.crops.layout import CropLayout
    from sr_pipeline.crops.shards import ShardPlan

    on("Windows", "AMD64", "array_record")
    with pytest.raises(UserError, match="does not run on Windows, for which array-record has no release"):
        ShardPlan("a.array_record", (), CropLayout(0, 48, 1, 4)).write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_on_windows_ends_before_it_has_begun(project):
    """Photographs are not even looked for where crops cannot be made of them."""
    folder = project.folder.parent / "windows"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import platform, sys\nplatform.system = lambda: 'Windows'\nsys.modules['array_record'] = None\n"
    )
    done = run(project.command("kedro", "run"), project.environment() | {"PYTHONPATH": str(folder)}, project.folder)
    assert done.returncode == 1
    assert "Error: the pipeline does not run on Windows, for which array-record has no release" in done.stderr
    assert "Traceback" not in done.stderr
    assert not project.path("data/02_intermediate/images.parquet").exists()


def test_only_what_is_missing_is_refused(on):
    from sr_pipeline.hooks import check_packages
    from sr_pipeline.pipeline_registry import register_pipelines

    pipelines = register_pipelines()
    on("Windows", "AMD64", "array_record")
    check_packages(pipelines["ingest"])
    check_packages(pipelines["evaluate"])
    for name in ("__default__", "materialize", "train"):
        with pytest.raises(UserError, match="does not run on Windows"):
            check_packages(pipelines[name])
