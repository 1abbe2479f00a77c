"""Fixtures shared by all tests."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import settings

from sr_pipeline.processor import computes_bfloat16, processor_kind

REPOSITORY = Path(__file__).parents[1]

# A suite that a script starts in the background ignores Ctrl-C, and so would all programs that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A first example may import TensorFlow or SciPy, and the machine may be busy: no test is timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

needs_bfloat16 = pytest.mark.skipif(
    not computes_bfloat16(),
    reason=f"{processor_kind()} does not compute in bfloat16: precision and engine `auto` never choose it there",
)

# ONNX Runtime reports to its maker on which machine it runs, unless this is set before it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

TINY = {
    "recipes": {
        "sample": {
            "generator": {"filters": 4, "blocks": 1},
            "discriminator": {"filters": 4, "dense": 4},
            "pretraining": {"steps": 4, "learning_rate": {"warmup_steps": 1}},
            "adversarial": {"steps": 3},
        }
    },
    "materialize": {"crops_per_image": 5, "shards": 2},
    "train": {"log_every": 2, "validate_every": 2, "validation_crops": 4},
    "evaluate": {"resamples": 100, "shown": 1},
}


def pytest_collection_modifyitems(items):
    """The longest files first, so that the two processes of ``make test`` end together."""
    ranks = {"e2e": 0, "training": 1}
    items.sort(key=lambda item: ranks.get(item.path.parent.name, 2))


def committed_parameters(environment="base"):
    """The parameters of ``conf/<environment>`` over those of ``conf/base``, loaded as Kedro loads them."""
    from kedro.config import OmegaConfigLoader

    from sr_pipeline.settings import CONFIG_LOADER_ARGS

    return OmegaConfigLoader(str(REPOSITORY / "conf"), env=environment, **CONFIG_LOADER_ARGS)["parameters"]


@pytest.fixture(scope="session")
def shared():
    """The folder of real data for development, which is not part of the project."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the development data in ../shared, which is not part of the project")
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
        until = time.monotonic() + 240
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            time.sleep(0.02)


class Project:
    """A copy of this project in a folder of its own, run as its users run it."""

    def __init__(self, folder: Path, overrides: dict | None = None):
        self.folder = folder
        not_in_git = shutil.ignore_patterns("__pycache__", "*.egg-info", "cache", "tmp", "config.local")
        for name in ("conf", "src", ".dvc"):
            shutil.copytree(REPOSITORY / name, folder / name, ignore=not_in_git)
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

    def run(self, program: str, *arguments: str, check: bool = True, **kwargs) -> subprocess.CompletedProcess:
        """Run a program in the project folder."""
        done = subprocess.run(
            self.command(program, *arguments),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=1200,
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
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "KEDRO_"))}
        return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}", "COLUMNS": "200"}

    def path(self, relative: str) -> Path:
        return self.folder / relative


@pytest.fixture
def project(tmp_path):
    """A fresh copy of the project with a tiny sample recipe."""
    return Project(tmp_path / "project", TINY)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project in which the whole chain has run once, tiny. Tests must not change its data."""
    project = Project(tmp_path_factory.mktemp("finished") / "project", TINY)
    project.log = project.kedro("run").stderr
    return project
