"""Checkpoints: everything a training needs to go on as if it had never stopped.

A checkpoint is a plain ``.npz`` file (no pickle), written whole or not at all. All randomness of a training is a
function of its seed and the step (initial weights, order and augmentation of crops), so the step is all the random
state and data position there is.
"""

import json
import logging
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.storage import PARTIAL, atomic_write

log = logging.getLogger(__name__)

Arrays = list[NDArray[Any]]
MEASURED = "validation_"
"""How the names of figures begin that a validation gives."""

_NOTES = "notes"
_NOTED = ("step", "phase", "history", "codes")


@dataclass(frozen=True)
class Checkpoint:
    """State of a training after ``step`` steps.

    Attributes:
        step: counted over all phases from 1.
        phase: in which that step was.
        arrays: weights and optimizer variables by what they belong to.
        history: rows reported so far.
        codes: hashes of the code and libraries that computed it, in their order.
    """

    step: int
    phase: str
    arrays: dict[str, Arrays]
    history: list[dict[str, Any]] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)

    @property
    def measured(self) -> bool:
        """Whether the generator was measured at this step."""
        return bool(self.history) and any(name.startswith(MEASURED) for name in self.history[-1])

    def origin(self, code: str) -> str:
        """What logs say of one that other code than ``code`` computed, or began; empty if none did."""
        others = [other for other in self.codes if other != code]
        return f", computed by other code or libraries ({', '.join(others)})" if others else ""


class Checkpoints:
    """The newest checkpoints of one training, in a folder of its own.

    Args:
        folder: named by all that decides the training, and by the code, so that no other state is ever found there.
        keep: how many to keep.
        writes: whether this process writes them; of several that train together only one does.
    """

    def __init__(self, folder: Path, keep: int, *, writes: bool = True) -> None:
        self.folder = folder
        self._keep = keep
        self._writes = writes

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, then remove those beyond the newest.

        Raises:
            UserError: if it cannot be written; the earlier ones are still there.
        """
        if not self._writes:
            return
        notes = {name: getattr(checkpoint, name) for name in _NOTED}
        content: dict[str, Any] = {_NOTES: np.array(json.dumps(notes))}
        for name, arrays in checkpoint.arrays.items():
            content |= {f"{name}/{i}": array for i, array in enumerate(arrays)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path(checkpoint.step)) as partial, partial.open("wb") as file:
                np.savez(file, allow_pickle=False, **content)
            for path in self._all()[self._keep :]:
                path.unlink()
            for stale in self.folder.glob(f"*{PARTIAL}"):  # of killed runs
                stale.unlink()
        except OSError as error:
            raise UserError(
                f"cannot write the checkpoint of step {checkpoint.step} into {self.folder} ({error.strerror}); make "
                "room and run again: the training goes on from the checkpoint before"
            ) from error

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes of this machine from training into this folder meanwhile; ends with the process.

        Raises:
            UserError: if one is training into it.
        """
        if not self._writes:
            yield
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise UserError(
                "this training is already running in another process; wait for its end, or stop it and run again to "
                "go on from its last checkpoint"
            ) from error
        except OSError as error:
            raise UserError(f"cannot write checkpoints into {self.folder} ({error.strerror})") from error
        try:
            yield
        finally:
            lock.release()

    def clear(self) -> None:
        """Remove all checkpoints, so that the training starts over."""
        for path in self._all() if self._writes else []:
            path.unlink()

    @property
    def newest_step(self) -> int | None:
        """The step of the newest checkpoint, by its name; it may still be damaged."""
        return next((int(path.stem.removeprefix("step-")) for path in self._all()), None)

    @property
    def written(self) -> float:
        """When the newest was written, in seconds since 1970; 0 if there is none."""
        return max((path.stat().st_mtime for path in self._all()), default=0.0)

    def newest(self, last_step: int) -> Checkpoint | None:
        """The newest whole checkpoint from which a training of ``last_step`` steps can go on.

        The last step of a training is always measured. So one of a longer training counts only before that step, or
        if it was measured there by chance.
        """
        for path in self._all():
            try:
                checkpoint = _read(path)
            except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
                log.warning("checkpoint %s is damaged (%s) and left out", path, error)
                continue
            if checkpoint.step < last_step or (checkpoint.step == last_step and checkpoint.measured):
                return checkpoint
        return None

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.npz"

    def _all(self) -> list[Path]:
        """Newest first."""
        return sorted(self.folder.glob("step-*.npz"), reverse=True)


def _read(path: Path) -> Checkpoint:
    arrays: dict[str, Arrays] = {}
    with np.load(path, allow_pickle=False) as content:
        notes = json.loads(str(content[_NOTES]))
        for key in content.files:  # in the order of writing
            match = re.fullmatch(r"(.+)/\d+", key)
            if match:
                arrays.setdefault(match[1], []).append(content[key])
    return Checkpoint(arrays=arrays, **notes)
