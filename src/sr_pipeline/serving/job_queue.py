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

from sr_pipeline.errors import UserError
from sr_pipeline.inference.enlargement import Options, Upscale, enlarge_file
from sr_pipeline.pictures.reading import decode_picture, size_of
from sr_pipeline.serving.job_files import result_name, write_before

log = logging.getLogger(__name__)


_ACTIVE = ("waiting", "running")

NOT_OFFERED = "The page does not offer that model; load it again."

MAX_PIXELS = 4_000_000
"""Largest picture: 64 megapixels when enlarged, about what browsers show."""

MAX_WAITING = 8
"""Pictures in the queue; more are refused."""

KEEP_SECONDS = 1800.0
"""How long a result is kept after it was last asked for."""

_GLANCE = 0.1  # seconds until it is seen that a running job was dropped
_LAST_TILE = 2.0  # seconds that are waited for one that was dropped


class Models(Protocol):
    """The models that can be chosen, and how one is opened."""

    def listed(self) -> list[dict[str, str]]:
        """``name`` and ``label`` of each, the default first."""

    def open(self, name: str) -> Upscale:
        """The model of that name, ready to enlarge; UserError if there is none."""


@dataclass(eq=False)
class Job:
    """A picture to enlarge, and how far that is.

    Attributes:
        before: width and height.
        size: of the result, once there is one.
        bytes: of its file.
        readers: who is being sent one of its files, which stay as long.
    """

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
    bytes: int | None = None
    readers: int = 0
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
            "bytes": self.bytes,
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
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)
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
                try:
                    folder.mkdir()
                    write_before(folder / "before.png", picture)
                    (folder / "source").write_bytes(content)
                except OSError as error:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise BusyError(f"There is no room for the picture here ({error.strerror}).") from error
            target = folder / result_name(name, picture)
            job = Job(identity, folder, folder / "source", target, model, match_histogram, picture.size)
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
        """How many jobs are before it; 0 for one that was forgotten."""
        with self._lock:
            known = list(self._jobs.values())
        ahead = known[: known.index(job)] if job in known else []
        return sum(other.state in _ACTIVE for other in ahead)

    @contextmanager
    def reading(self, identity: str) -> Iterator[Job]:
        """The job of that number, whose files stay until the end of the block.

        Raises:
            KeyError: if there is none, or no longer.
        """
        with self._lock:
            job = self.find(identity)
            job.readers += 1
        try:
            yield job
        finally:
            with self._lock:
                job.readers -= 1
                forgotten = identity not in self._jobs
            if forgotten:
                self._remove_files(job)

    def forget(self, identity: str) -> None:
        """Remove a job and its files; a running one stops at its next tile."""
        with self._lock:
            job = self._jobs.pop(identity, None)
            if job is None:
                return
            if job.state in _ACTIVE:
                job.state = "dropped"
        self._remove_files(job)

    def close(self) -> None:
        """Drop what is waiting or running, and let the worker end."""
        with self._lock:
            identities = list(self._jobs)
        for identity in identities:
            self.forget(identity)
        self._queue.put(None)
        self._thread.join(_LAST_TILE)

    def _remove_files(self, job: Job) -> None:
        """Remove the files of a forgotten job, unless somebody reads them: who does removes them later."""
        with self._lock:
            if job.readers == 0:
                shutil.rmtree(job.folder, ignore_errors=True)

    def _forget_old(self) -> None:
        now = time.monotonic()
        for job in list(self._jobs.values()):
            if job.state not in _ACTIVE and now - job.last_asked > KEEP_SECONDS:
                self.forget(job.id)

    def _work(self) -> None:
        """Let one picture after the other be enlarged.

        One that was dropped holds up the next for moments only, although writing its file cannot be stopped, which
        takes half a minute for the largest: its worker is left behind. There is one such worker at most.
        """
        worker, left_behind = _Worker(self._run), None
        while (job := self._queue.get()) is not None:
            with self._lock:
                if job.state == "dropped":
                    continue
                job.state = "running"
            worker.begin(job)
            while not worker.idle.wait(_GLANCE):
                if job.state != "dropped" or (left_behind and not left_behind.idle.is_set()):
                    continue
                if not worker.idle.wait(_LAST_TILE):
                    worker.end()
                    left_behind, worker = worker, _Worker(self._run)
                break
        worker.end()

    def _run(self, job: Job) -> None:
        """Enlarge a picture and say what came of it."""
        error = self._enlarge(job)
        with self._lock:
            dropped = job.state == "dropped"
            if not dropped:
                job.error, job.state = error, "failed" if error else "done"
        if dropped:  # enlarging may have made the folder again
            self._remove_files(job)

    def _enlarge(self, job: Job) -> str | None:
        """Enlarge one picture; what the page says if that failed."""
        options = Options(match_histogram=job.match_histogram)
        try:
            done = enlarge_file(job.source, job.target, self._models.open(job.model), options, _reporter(job))
            job.size, job.seconds, job.bytes = done.size, done.seconds, job.target.stat().st_size
        except UserError as error:
            return sentence(error)
        except Exception:  # the page must go on
            if job.state == "dropped":  # so it was stopped, or its files are gone
                return None
            log.exception("a picture could not be enlarged")
            return "Something went wrong here; the terminal says what."
        return None


class _Worker:
    """A thread that enlarges what it is given.

    There are few of them, and not one for each picture: engines and allocators keep memory for every thread that ever
    computed.

    Attributes:
        idle: that it has nothing to do.
    """

    def __init__(self, enlarge: Callable[[Job], None]) -> None:
        self.idle = threading.Event()
        self.idle.set()
        self._enlarge = enlarge
        self._given: Queue[Job | None] = Queue()
        threading.Thread(target=self._work, name="upscale", daemon=True).start()

    def begin(self, job: Job) -> None:
        """Enlarge ``job``; returns at once."""
        self.idle.clear()
        self._given.put(job)

    def end(self) -> None:
        """Let the thread end after its present job."""
        self._given.put(None)

    def _work(self) -> None:
        while (job := self._given.get()) is not None:
            self._enlarge(job)
            self.idle.set()


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


def sentence(error: UserError) -> str:
    """What the page says of ``error``, which goes on from the name of a file unless it begins with a capital."""
    text = " ".join(str(error).split())
    return f"This file {text}." if not text[:1].isupper() else text
