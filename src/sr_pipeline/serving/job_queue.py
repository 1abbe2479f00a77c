"""The pictures that wait to be enlarged, and the one worker that does it."""

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any, Protocol

import numpy as np

from sr_pipeline.errors import UserError
from sr_pipeline.inference.enlargement import Options, Upscale, enlarge_file
from sr_pipeline.pictures.reading import Picture, decode_picture, size_of
from sr_pipeline.pictures.writing import format_of, write_png

log = logging.getLogger(__name__)


_ACTIVE = ("waiting", "running")

NOT_OFFERED = "The page does not offer that model; load it again."

MAX_PIXELS = 4_000_000
"""Largest picture: 64 megapixels when enlarged, about what browsers show."""

MAX_WAITING = 8
"""Pictures in the queue; more are refused."""

_LONGEST_STEM = 200  # bytes; the ending and what is added come to it
KEEP_SECONDS = 1800.0
"""How long a result is kept after it was last asked for."""


class Models(Protocol):
    """The models that can be chosen, and how one is opened."""

    def listed(self) -> list[dict[str, str]]:
        """``name`` and ``label`` of each, the default first."""

    def open(self, name: str) -> Upscale:
        """The model of that name, ready to enlarge; UserError if there is none."""


@dataclass
class Job:
    """A picture to enlarge, and how far that is."""

    id: str
    folder: Path
    source: Path
    target: Path
    model: str
    match_histogram: bool
    before: tuple[int, int]
    state: str = "waiting"
    done: int = 0
    total: int = 0
    error: str | None = None
    seconds: float = 0.0
    size: tuple[int, int] | None = None
    last_asked: float = field(default_factory=time.monotonic)

    def status(self, position: int) -> dict[str, Any]:
        """What the page shows, as plain values."""
        return {
            "id": self.id,
            "state": self.state,
            "position": position,
            "progress": self.done / self.total if self.total else 0.0,
            "error": self.error,
            "seconds": round(self.seconds, 2),
            "before": self.before,
            "size": self.size,
            "bytes": self.target.stat().st_size if self.state == "done" else None,
            "name": self.target.name,
        }


class JobQueue:
    """The queue and its worker.

    Args:
        folder: for pictures and results.
        models: to choose from.
    """

    def __init__(self, folder: Path, models: Models) -> None:
        self._folder = folder
        self._models = models
        self._jobs: dict[str, Job] = {}
        self._arriving = 0
        self._queue: Queue[Job | None] = Queue()
        self._lock = threading.Lock()
        self._decoding = threading.Lock()  # one picture at a time: each may need 16 times its file's size and more
        self._thread = threading.Thread(target=self._work, name="upscale", daemon=True)
        self._thread.start()

    def take(self, name: str, content: bytes, model: str, *, match_histogram: bool) -> Job:
        """Put a picture into the queue.

        Raises:
            UserError: if it cannot be enlarged, the model is not offered, or the queue is full.
        """
        self._forget_old()
        if model and model not in {known["name"] for known in self._models.listed()}:
            raise UserError(NOT_OFFERED)
        with self._place():
            width, height = size_of(content)
            if width * height > MAX_PIXELS:
                raise UserError(
                    f"is too large ({width}x{height}); here, at most {MAX_PIXELS // 1_000_000} megapixels are "
                    "enlarged: use sr-pipeline upscale"
                )
            identity = uuid.uuid4().hex
            folder = self._folder / identity
            with self._decoding:
                picture = decode_picture(content)
                folder.mkdir()
                _write_before(folder / "before.png", picture)
            source = folder / "source"
            source.write_bytes(content)
            target = folder / _result_name(name, picture)
            job = Job(identity, folder, source, target, model, match_histogram, picture.size)
            with self._lock:
                self._jobs[identity] = job
            self._queue.put(job)
        return job

    @contextmanager
    def _place(self) -> Iterator[None]:
        """A place in the queue for a picture that is being checked; two of them never get the last one."""
        with self._lock:
            if self._arriving + sum(job.state in _ACTIVE for job in self._jobs.values()) >= MAX_WAITING:
                raise BusyError("Many pictures are waiting; try again in a minute.")
            self._arriving += 1
        try:
            yield
        finally:
            with self._lock:
                self._arriving -= 1

    def find(self, identity: str) -> Job:
        """The job of that number.

        Raises:
            KeyError: if there is none, or no longer.
        """
        job = self._jobs[identity]
        job.last_asked = time.monotonic()
        return job

    def position(self, job: Job) -> int:
        """How many jobs are before it."""
        with self._lock:
            ahead = list(self._jobs.values())
        return sum(other.state in _ACTIVE for other in ahead[: ahead.index(job)])

    def forget(self, identity: str) -> None:
        """Remove a job and its files; a running one stops at its next tile."""
        with self._lock:
            job = self._jobs.pop(identity, None)
            if job is None:
                return
            if job.state in _ACTIVE:
                job.state = "dropped"
        shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """Let the worker end after its present job."""
        self._queue.put(None)

    def _forget_old(self) -> None:
        now = time.monotonic()
        for job in list(self._jobs.values()):
            if job.state not in _ACTIVE and now - job.last_asked > KEEP_SECONDS:
                self.forget(job.id)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            with self._lock:
                if job.state == "dropped":
                    continue
                job.state = "running"
            error = self._enlarge(job)
            with self._lock:
                dropped = job.state == "dropped"
                if not dropped:
                    job.error, job.state = error, "failed" if error else "done"
            if dropped:  # enlarging may have made the folder again
                shutil.rmtree(job.folder, ignore_errors=True)

    def _enlarge(self, job: Job) -> str | None:
        """Enlarge one picture; what the page says if that failed."""
        options = Options(match_histogram=job.match_histogram)
        try:
            done = enlarge_file(job.source, job.target, self._models.open(job.model), options, _reporter(job))
            job.size, job.seconds = done.size, done.seconds
        except UserError as error:
            return sentence(error)
        except Exception:  # the page must go on
            if job.state == "dropped":  # so it was stopped, or its files are gone
                return None
            log.exception("a picture could not be enlarged")
            return "Something went wrong here; the terminal says what."
        return None


class BusyError(UserError):
    """The queue is full."""


class _DroppedError(Exception):
    """Nobody wants this picture any more."""


def _reporter(job: Job) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        if job.state == "dropped":
            raise _DroppedError
        job.done, job.total = done, total

    return report


def _write_before(file: Path, picture: Picture) -> None:
    """The picture, upright and of a kind that every browser shows, with its transparency and its colours' meaning."""
    channels = [picture.colour[..., np.newaxis] if picture.colour.ndim == 2 else picture.colour]
    channels += [] if picture.alpha is None else [picture.alpha[..., np.newaxis]]
    pixels = np.concatenate(channels, axis=-1)
    with file.open("wb") as stream:
        write_png(stream, pixels, picture.metadata.of_colours())


def _result_name(name: str, picture: Picture) -> str:
    """The name of a result: browsers show neither TIFF nor 16 bits, and JPEG has no transparency."""
    plain = picture.alpha is None and picture.colour.dtype == np.uint8
    suffix = Path(name).suffix if format_of(Path(name)) in (["jpeg", "webp"] if plain else []) else ".png"
    return f"{_cut_name(Path(name).stem) or 'picture'}_x4{suffix}"


def _cut_name(stem: str) -> str:
    """A name from a browser as one that every file system takes: file systems count bytes, not characters."""
    printable = "".join(character for character in stem if character.isprintable())
    return printable.encode("utf-8", "ignore")[:_LONGEST_STEM].decode("utf-8", "ignore").strip()


def sentence(error: UserError) -> str:
    """What the page says of ``error``, which goes on from the name of a file unless it begins with a capital."""
    text = " ".join(str(error).split())
    return f"This file {text}." if not text[:1].isupper() else text
