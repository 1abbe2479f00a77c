"""The temporary folder of the page: gone when it ends, and if it was killed, at the next start."""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_PREFIX = "sr-pipeline-app-"
_LOCK = "lock"  # held as long as the process lives, however it ends
_STARTED = 3600.0  # seconds after which a page has its lock for certain


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder; first, those that dead processes left are removed."""
    _remove_abandoned()
    # What is still written when the page ends must not keep it from ending.
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name,
        (Path(name) / f"{_LOCK}.new").open("w") as lock,
    ):
        _lock(lock)
        (Path(name) / f"{_LOCK}.new").rename(Path(name) / _LOCK)  # so that it is never there unlocked
        yield Path(name)


def _remove_abandoned() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        if folder.is_symlink():
            continue
        try:
            with (folder / _LOCK).open("r+") as lock:
                abandoned = _lock(lock)
        except FileNotFoundError:  # not yet, or no more: it was written into when its page had ended
            abandoned = _is_old(folder)
        except OSError:  # it belongs to somebody else
            continue
        if abandoned:
            shutil.rmtree(folder, ignore_errors=True)


def _is_old(folder: Path) -> bool:
    """Whether a folder without a lock is not that of a page which starts just now."""
    try:
        return time.time() - folder.stat().st_mtime > _STARTED
    except OSError:
        return False


def _lock(file: IO[str]) -> bool:
    """Lock a file for this process; False if another holds it, or this system has no such locks (Windows)."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
