"""The package as people install it: built, alone in an empty environment, far from the project's folder."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from tests.servers import free_port, running

MEGABYTES = 300
"""At most, of the base: wheels unpacked."""
NO_REGISTRY = re.compile("error sending request|dns error|failed to fetch|connect|timed out|no cached version", re.I)


def run(*command, folder=REPOSITORY):
    # What tests run in must not leak into the environment that is tested.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The folder with wheel and sdist, the wheel made from the sdist; of a copy, which takes what building leaves."""
    folder = tmp_path_factory.mktemp("packages")
    copy = folder / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    shutil.copytree(REPOSITORY / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    done = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, copy)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def install(packages, tmp_path_factory):
    """Makes an environment with the wheel and extras of it; the newest packages that the registry has."""

    def make(extras=""):
        folder = tmp_path_factory.mktemp("environment") / "venv"
        made = run(sys.executable, "-m", "uv", "venv", "--python", sys.executable, folder)
        assert made.returncode == 0, made.stderr
        [wheel] = packages.glob("*.whl")
        python = folder / "bin/python"
        done = run(sys.executable, "-m", "uv", "pip", "install", "--python", python, f"{wheel}{extras}")
        if done.returncode and NO_REGISTRY.search(done.stderr):
            pytest.skip("needs a package registry, and none answers")
        assert done.returncode == 0, done.stderr
        return folder

    return make


@pytest.fixture(scope="module")
def base(install):
    return install()


@pytest.fixture
def picture(tmp_path, photograph):
    path = tmp_path / "cat.png"
    Image.fromarray(photograph).resize((100, 80)).save(path)
    return path


def test_wheel_and_sdist_hold_the_whole_package(packages):
    import tarfile
    import zipfile

    files = {path.relative_to(REPOSITORY / "src").as_posix() for path in package_files()}
    [wheel], [sdist] = packages.glob("*.whl"), packages.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        assert files == {name for name in archive.namelist() if ".dist-info/" not in name}
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {f"src/{name}" for name in files} <= names
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names


def package_files():
    """Committed and new ones, except for what Python compiles."""
    return (path for path in (REPOSITORY / "src/sr_pipeline").rglob("*") if path.is_file() and path.suffix != ".pyc")


def test_the_base_is_small(base):
    size = sum(path.stat().st_size for path in base.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert size < MEGABYTES * 1e6
    assert not list(base.glob("lib/*/site-packages/tensorflow"))


def test_importing_it_takes_no_time(base, tmp_path):
    """The best of some tries: the machine may be busy."""
    program = "import time; start = time.process_time(); import sr_pipeline; print(time.process_time() - start)"
    assert min(float(run(base / "bin/python", "-c", program, folder=tmp_path).stdout) for _ in range(5)) < 0.05


def test_it_enlarges_a_picture_in_seconds(base, picture):
    """Three on two idle cores; what counts here is computing time, of which others on this machine take nothing."""
    before = os.times()
    done = run(base / "bin/sr-pipeline", "upscale", "--json", picture, folder=picture.parent)
    after = os.times()
    assert done.returncode == 0, done.stderr
    [result] = json.loads(done.stdout)
    enlarged = Image.open(result["output"])
    assert enlarged.size == (400, 320)
    reduced = np.asarray(enlarged.resize((100, 80), Image.Resampling.BICUBIC), float)
    assert np.abs(reduced - np.asarray(Image.open(picture), float)).mean() < 3
    assert after.children_user + after.children_system - before.children_user - before.children_system < 2 * 3


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["compare", "one", "other"], "pipeline"),
        (["promote", "2"], "pipeline"),
        (["export", "small.keras"], "pipeline"),
        (["upscale", "cat.png", "--model", "champion"], "pipeline"),
        (["upscale", "cat.png", "--engine", "float32"], "pipeline"),
        (["app", "--no-open"], "app"),
    ],
)
def test_what_needs_an_extra_says_so_in_one_line(base, picture, command, extra):
    done = run(base / "bin/sr-pipeline", *command, folder=picture.parent)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert line.endswith(f'pip install "sr-pipeline[{extra}]"')
    assert [path.name for path in picture.parent.iterdir()] == ["cat.png"]


def test_the_page_runs(install, picture):
    environment = install("[app]")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [str(environment / "bin/sr-pipeline"), "app", "--no-open", "--port", str(port)]
    with running(command, address, picture.parent / "log", cwd=picture.parent) as process:
        assert b"<title>" in fetch(address)
        job = json.loads(fetch(f"{address}/api/jobs?name=cat.png", picture.read_bytes()))
        while job["state"] in ("waiting", "running"):
            time.sleep(0.1)
            job = json.loads(fetch(f"{address}/api/jobs/{job['id']}"))
        assert job["state"] == "done", job
        assert Image.open(io.BytesIO(fetch(f"{address}/api/jobs/{job['id']}/result"))).size == (400, 320)
        process.terminate()
        process.wait(timeout=60)


def fetch(address, content=None):
    with urllib.request.urlopen(urllib.request.Request(address, content), timeout=60) as answer:
        return answer.read()
