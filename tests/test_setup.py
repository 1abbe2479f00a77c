"""What ``make setup`` says where it cannot go on, and how it goes on after it was broken off."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# What `make test-quick VENV=…` hands on to programs would reach the make of these tests, too.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not re.fullmatch("MAKE.*|MFLAGS|VENV|PYTHON", name)}
SUPPORTED = ("3.11", "3.13", "3.12")  # in the order in which they are taken


@pytest.fixture
def checkout(tmp_path):
    """A folder with what set-up reads, and a small lock."""
    folder = tmp_path / "a checkout"
    shutil.copytree(REPOSITORY / "scripts", folder / "scripts")
    shutil.copy(REPOSITORY / "Makefile", folder)
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    (folder / "requirements.lock").write_text("")
    return folder


def set_up(folder, *arguments, **variables):
    return subprocess.run(
        ["make", "setup", *arguments],
        cwd=folder,
        env=ENVIRONMENT | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def the_error(done):
    """The one line beside what make says itself."""
    assert done.returncode != 0
    [line] = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    return line


@pytest.fixture
def on_small_disk():
    """Runs a command where a folder is a disk of so many KiB."""
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a small disk, which is root's on Linux")

    def run(folder, kib, script, **variables):
        mount = f'mount -t tmpfs -o size={kib}k none "$1" && cd "$2" && {script}'
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", mount, "sh", folder, folder.parent],
            env=ENVIRONMENT | variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run


def test_another_python(checkout):
    places = [*Path("/usr/bin").glob("python[23]*"), *Path.home().glob(".pyenv/versions/*/bin/python")]
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    for place in places:
        asked = subprocess.run([place, "-c", ask], capture_output=True, text=True, check=False)
        if re.fullmatch(r"\d\.\d+\n", asked.stdout) and asked.stdout.strip() not in SUPPORTED:
            break
    else:
        pytest.skip("needs a Python that is not supported")
    line = the_error(set_up(checkout, f"PYTHON={place}"))
    assert line.startswith(f"Error: sr-pipeline needs Python 3.11, 3.12 or 3.13; {place} is Python {asked.stdout[:-1]}")
    assert line.endswith("; name another with: make PYTHON=/path/to/python3.13")
    assert not (checkout / ".venv").exists()


def test_no_python(checkout):
    assert "none was found" in the_error(set_up(checkout, "PYTHON="))


def test_a_folder_of_something_else_is_left_alone(checkout):
    (checkout / "photographs").mkdir()
    (checkout / "photographs/cat.jpg").touch()
    line = the_error(set_up(checkout, f"PYTHON={sys.executable}", "VENV=photographs"))
    assert line.startswith("Error: photographs is there and is not a virtual environment;")
    assert (checkout / "photographs/cat.jpg").exists()


def test_a_disk_that_is_too_small(checkout, on_small_disk):
    (small := checkout / "small").mkdir()
    copy = "cp -r Makefile pyproject.toml requirements.lock scripts small && cd small"
    done = on_small_disk(small, 4096, f'{copy} && make setup "PYTHON={sys.executable}"')
    assert the_error(done) == (
        f"Error: set-up needs 4 GB of disk, and {small} has 0 GB free; free some and run the same command again"
    )


def test_a_disk_that_runs_full(checkout, on_small_disk):
    """That of temporary files; then the same command does more."""
    (small := checkout / "small").mkdir()
    done = on_small_disk(small, 256, f'make setup "PYTHON={sys.executable}"', TMPDIR=str(small))
    assert the_error(done).startswith("Error: the disk is full: set-up needs 4 GB in ")
    again = set_up(checkout, f"PYTHON={sys.executable}", PIP_NO_INDEX="1")
    assert (checkout / ".venv/.unfinished").exists(), again.stderr


def test_after_it_was_broken_off_it_begins_anew(checkout, tmp_path):
    """Killed while pip installs, it has left half an environment, whose packages would look whole."""
    variables = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_NO_CACHE_DIR": "1"}
    first = subprocess.Popen(
        ["make", "setup", f"PYTHON={sys.executable}"],
        cwd=checkout,
        env=ENVIRONMENT | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not (checkout / ".venv/.unfinished").exists():
        assert first.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    (checkout / ".venv/half").touch()
    second = set_up(checkout, f"PYTHON={sys.executable}", **variables)
    assert "run the same command again to go on" in second.stderr  # there is no uv in an index that is empty
    assert not (checkout / ".venv/half").exists()
    assert (checkout / ".venv/.unfinished").exists()
    assert not (checkout / ".venv/.ready").exists()


def test_the_pythons_of_this_machine_are_found_and_can_be_used():
    found = subprocess.run(
        [REPOSITORY / "scripts/pythons.sh"], capture_output=True, text=True, timeout=60, check=True
    ).stdout.splitlines()
    ask = "import sys; print('%d.%d' % sys.version_info[:2], sys.prefix == sys.base_prefix)"
    answers = [
        subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.split()
        for python in found
    ]
    versions = [version for version, _ in answers]
    assert versions == [version for version in SUPPORTED if version in versions]
    assert ".".join(map(str, sys.version_info[:2])) in versions
    assert all(outside == "True" for _, outside in answers), "none is a virtual environment's"
