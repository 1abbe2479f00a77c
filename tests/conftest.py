"""Fixtures shared by all tests."""

import atexit
import contextlib
import functools
import hashlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from compileall import compile_dir
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import settings

from sr_pipeline.processor import computes_bfloat16, processor_kind, processor_name
from tests.warm import LONGEST, WarmPrograms

REPOSITORY = Path(__file__).parents[1]

# A suite that a script starts in the background ignores Ctrl-C, and so would all programs that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A first example may import TensorFlow or SciPy, and the machine may be busy: no test is timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# The first two convolutions of VGG19, where a test does not need more.
SHALLOW = {"block1_conv2": 1.0}

# ONNX Runtime reports to its maker on which machine it runs, unless this is set before it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

TINY = {
    "recipes": {
        "sample": {
            "generator": {"filters": 4, "blocks": 1},
            "discriminator": {"filters": 4, "dense": 4},
            "pretraining": {"start": None, "steps": 12, "learning_rate": {"warmup_steps": 1}},
            "adversarial": {"steps": 8},
        }
    },
    "materialize": {"crops_per_image": 5, "shards": 2},
    "train": {"log_every": 2, "validate_every": 2, "validation_crops": 4},
    "evaluate": {"shown": 1},
}


# Compute types that `auto` chooses. The second one only where the processor has it: elsewhere it would be emulated.
NEEDS_BFLOAT16 = pytest.mark.skipif(
    not computes_bfloat16(), reason=f"`auto` does not choose bfloat16 here: {processor_kind()} would emulate it"
)
PRECISIONS = ["float32", pytest.param("bfloat16", marks=NEEDS_BFLOAT16)]

# Seconds that a test waits for what must come: on a slow machine under load, too, since only a failure takes so long.
PATIENCE = 600

# The files that take longest, in this order; then the folders.
LONGEST_FIRST = (
    "e2e/test_dvc.py",
    "e2e/test_interruption.py",
    "training/test_resume.py",
    "e2e/test_evaluate.py",
    "e2e",
    "training",
    "test_notebooks.py",
)


def pytest_configure(config):
    config.addinivalue_line("markers", "slowest: slow tests that .ci/run leaves out; run by `make test-slow`")


def pytest_collection_modifyitems(items):
    """The longest files first, so that the two processes of ``make test`` end together."""

    def rank(item):
        path = item.path.relative_to(REPOSITORY / "tests").as_posix()
        return next((i for i, start in enumerate(LONGEST_FIRST) if path.startswith(start)), len(LONGEST_FIRST))

    items.sort(key=rank)


def pytest_terminal_summary(terminalreporter):
    """Say on what kind of processor the tests ran, since results are equal in bytes on one kind alone."""
    terminalreporter.write_line(f"processor: {processor_name()} ({processor_kind()})")


def enlarged_by_keras(model, picture):
    """What a Keras generator makes of a picture (h, w, 3) uint8 as a whole: what all that enlarges is compared with."""
    from sr_pipeline.imaging.ranges import to_uint8

    height, width = picture.shape[:2]
    padding = [(0, max(5 - edge, 0)) for edge in (height, width)]  # reflection padding mirrors 4 pixels
    padded = np.pad(picture, (*padding, (0, 0)), mode="symmetric")
    enlarged = model(padded[np.newaxis].astype(np.float32) / 255, training=False).numpy()[0]
    return to_uint8(enlarged[: 4 * height, : 4 * width])


def committed_parameters(environment="base"):
    """The parameters of ``conf/<environment>`` over those of ``conf/base``, loaded as Kedro loads them."""
    from kedro.config import OmegaConfigLoader

    from sr_pipeline.settings import CONFIG_LOADER_ARGS

    return OmegaConfigLoader(str(REPOSITORY / "conf"), env=environment, **CONFIG_LOADER_ARGS)["parameters"]


@pytest.fixture(scope="session")
def shared():
    """The folder of real data for development, which is not part of the project."""
    folder = Path(os.environ.get("SR_TEST_DATA", REPOSITORY.parent / "shared")).absolute()
    if not folder.is_dir():
        pytest.skip(
            f"needs the development data, which is not part of the project: {folder}, or what SR_TEST_DATA names"
        )
    return folder


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, driven by Playwright."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium, such as Debian's package chromium")
    from playwright.sync_api import sync_playwright

    # Without these flags it asks its maker's servers for updates all the time.
    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def photograph():
    """A real photograph, 300x451, that ships with scikit-image."""
    import skimage.data

    return skimage.data.chelsea()


@dataclass
class Started:
    """A program that runs beside the test, and the file of all that it says."""

    process: subprocess.Popen
    log: Path

    def wait_for(self, text: str) -> None:
        """Until the program has said ``text``."""
        until = time.monotonic() + PATIENCE
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)


def digests(project, pattern):
    """Hash of every file of the project that matches."""
    files = sorted(project.folder.glob(pattern))
    return {
        str(file.relative_to(project.folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
        if file.is_file()
    }


RESULTS = (
    "data/01_raw/**/*",
    "data/02_intermediate/*",
    "data/05_model_input/crops/**/*",
    "data/06_models/*",
    "data/07_model_output/**/*",
    "data/08_reporting/**/*",
)


NOT_IN_GIT = shutil.ignore_patterns("__pycache__", "*.egg-info", "cache", "tmp", "config.local")


@functools.cache
def compiled_sources() -> Path:
    """A copy of ``src`` with its compiled modules, as an installation has them; made once for all projects."""
    scratch = Path(tempfile.mkdtemp(prefix="sr-pipeline-tests-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    shutil.copytree(REPOSITORY / "src", scratch / "src", ignore=NOT_IN_GIT)
    compile_dir(scratch / "src", quiet=1)
    return scratch / "src"


class Project:
    """A copy of this project in a folder of its own, run as its users run it."""

    def __init__(self, folder: Path, overrides: dict | None = None):
        self.folder = folder
        for name in ("conf", ".dvc"):
            shutil.copytree(REPOSITORY / name, folder / name, ignore=NOT_IN_GIT)
        shutil.copytree(compiled_sources(), folder / "src")
        for name in ("pyproject.toml", ".telemetry", "dvc.yaml", ".dvcignore", ".gitignore"):
            shutil.copy(REPOSITORY / name, folder / name)
        for gitkeep in (REPOSITORY / "data").glob("*/.gitkeep"):
            target = folder / gitkeep.relative_to(REPOSITORY)
            target.parent.mkdir(parents=True)
            target.touch()
        if overrides:
            (folder / "conf/local/parameters.yml").write_text(yaml.safe_dump(overrides))

    @classmethod
    def at(cls, folder: Path) -> "Project":
        """The project that is in ``folder`` already."""
        project = cls.__new__(cls)
        project.folder = folder
        return project

    def run(
        self,
        program: str,
        *arguments: str,
        check: bool = True,
        cold: bool = False,
        folder: Path | None = None,
        **kwargs,
    ) -> subprocess.CompletedProcess:
        """Run a program in the project folder or another; ``cold``: from the start, with all imports of its own."""
        command, environment = self.command(program, *arguments), self.environment()
        if program in ("kedro", "sr-pipeline") and not cold and not kwargs:
            done = warm_programs().run(command, folder or self.folder, environment)
        else:
            done = subprocess.run(
                command,
                cwd=folder or self.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=LONGEST,
                check=False,
                **kwargs,
            )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    @contextlib.contextmanager
    def started(self, program: str, *arguments: str) -> Iterator[Started]:
        """Run a program beside the test; it and all it has started is killed in the end, whatever came of the test."""
        log = self.folder.with_suffix(".log")
        with log.open("w") as file:
            process = subprocess.Popen(
                self.command(program, *arguments),
                cwd=self.folder,
                env=self.environment(),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Started(process, log)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def kedro(self, *arguments: str, check: bool = True, **kwargs) -> subprocess.CompletedProcess:
        return self.run("kedro", *arguments, check=check, **kwargs)

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.invalid")
        return self.run("git", *identity, *arguments).stdout

    def command(self, program: str, *arguments: str) -> list[str]:
        """Programs of the virtual environment come before others."""
        path = Path(sys.executable).with_name(program)
        return [str(path) if path.exists() else program, *arguments]

    def environment(self) -> dict[str, str]:
        """Without what a surrounding run may have set."""
        foreign = ("MLFLOW_", "DVC_", "KEDRO_", "PYTHONDONTWRITEBYTECODE")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
        return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}

    def path(self, relative: str) -> Path:
        return self.folder / relative

    def copy(self, folder: Path) -> "Project":
        """All of it elsewhere, to be changed. MLflow's artifacts stay at their old place, which its store names."""
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns("mlartifacts"))
        return Project.at(folder)

    def prepared_copy(self, folder: Path) -> "Project":
        """What ``ingest`` and ``materialize`` have made, elsewhere, without a training and MLflow's store."""
        later = ("06_models", "07_model_output", "08_reporting", ".scratch", "mlflow.db*", "mlartifacts")
        shutil.copytree(self.folder, folder, ignore=shutil.ignore_patterns(*later))
        return Project.at(folder)


@pytest.fixture
def project(tmp_path):
    """A fresh copy of the project with a tiny sample recipe."""
    return Project(tmp_path / "project", TINY)


@pytest.fixture
def prepared(finished, tmp_path):
    """A project with crops, but no training."""
    return finished.prepared_copy(tmp_path / "project")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project in which the whole chain has run once, tiny; the same for all processes. Tests must not change it."""

    def make(folder):
        project = Project(folder / "project", TINY)
        (folder / "log").write_text(project.kedro("run", cold=True).stderr)

    folder = made_once(tmp_path_factory, "finished", make)
    project = Project.at(folder / "project")
    project.log = (folder / "log").read_text()
    return project


def made_once(tmp_path_factory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder of this test run that ``make`` fills, in whichever process needs it first; others wait."""
    import fcntl

    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / name, base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of an attempt that failed
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@functools.cache
def warm_programs() -> WarmPrograms:
    """Those of this test process."""
    return WarmPrograms(REPOSITORY, Project.at(REPOSITORY).environment())


@pytest.fixture(scope="session")
def vgg16_file(tmp_path_factory):
    """Random weights in the form of ``evaluate.vgg16``."""
    rng = np.random.default_rng(5)
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    arrays = {name: rng.uniform(0, 1, 1475).astype(np.float32) for name in ("alpha", "beta")}
    for number, (before, after) in enumerate(itertools.pairwise(channels)):
        kernel = rng.normal(0, np.sqrt(2 / (9 * before)), (3, 3, before, after))
        arrays |= {f"conv{number}/kernel": kernel.astype(np.float32)}
        arrays |= {f"conv{number}/bias": rng.normal(0, 0.1, after).astype(np.float32)}
    for number, size in enumerate((64, 128, 256, 512, 512)):
        arrays[f"lin{number}"] = rng.uniform(0, 1, size).astype(np.float32)
    file = tmp_path_factory.mktemp("vgg16") / "vgg16.npz"
    np.savez(file, **arrays)
    return file
