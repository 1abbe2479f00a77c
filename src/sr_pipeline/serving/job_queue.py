"""The pictures that wait to be enlarged, and the one worker that does it."""

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any, Protocol

from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.inference.enlargement import Options, Upscale, enlarge_file
from sr_pipeline.pictures.reading import decode_picture
from sr_pipeline.pictures.writing import format_of

log = logging.getLogger(__name__)


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
        self._queue: Queue[Job | None] = Queue()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="upscale", daemon=True)
        self._thread.start()

    def take(self, name: str, content: bytes, model: str, *, match_histogram: bool) -> Job:
        """Put a picture into the queue.

        Raises:
            UserError: if it cannot be enlarged, or the queue is full.
        """
        self._forget_old()
        if sum(job.state in ("waiting", "running") for job in self._jobs.values()) >= MAX_WAITING:
            raise BusyError("many pictures are waiting; try again in a minute")
        picture = decode_picture(content)
        width, height = picture.size
        if width * height > MAX_PIXELS:
            raise UserError(
                f"is too large ({width}x{height}); here, at most {MAX_PIXELS // 1_000_000} megapixels are enlarged: "
                "use sr-pipeline upscale"
            )
        identity = uuid.uuid4().hex
        folder = self._folder / identity
        folder.mkdir()
        source = folder / "source"
        source.write_bytes(content)
        pixels = picture.colour if picture.colour.dtype == "uint8" else (picture.colour >> 8).astype("uint8")
        Image.fromarray(pixels).save(folder / "before.png")  # upright, and of a kind that every browser shows
        stem = _cut_name(Path(name).stem) or "picture"
        # Browsers show neither TIFF nor 16 bits; transparency needs more than JPEG.
        plain = picture.alpha is None and pixels is picture.colour
        suffix = Path(name).suffix if format_of(Path(name)) in (["jpeg", "webp"] if plain else []) else ".png"
        job = Job(identity, folder, source, folder / f"{stem}_x4{suffix}", model, match_histogram, picture.size)
        with self._lock:
            self._jobs[identity] = job
        self._queue.put(job)
        return job

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
        return sum(other.state in ("waiting", "running") for other in ahead[: ahead.index(job)])

    def forget(self, identity: str) -> None:
        """Remove a job and its files."""
        with self._lock:
            job = self._jobs.pop(identity, None)
        if job is not None:
            job.state = "dropped" if job.state == "waiting" else job.state
            shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """Let the worker end after its present job."""
        self._queue.put(None)

    def _forget_old(self) -> None:
        now = time.monotonic()
        for job in list(self._jobs.values()):
            if job.state not in ("waiting", "running") and now - job.last_asked > KEEP_SECONDS:
                self.forget(job.id)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            if job.state == "dropped":
                continue
            job.state = "running"
            try:
                done = enlarge_file(
                    job.source,
                    job.target,
                    self._models.open(job.model),
                    Options(match_histogram=job.match_histogram),
                    _reporter(job),
                )
                job.size, job.seconds = done.size, done.seconds
                job.state = "done"
            except UserError as error:
                job.error, job.state = sentence(error), "failed"
            except Exception:  # the page must go on
                log.exception("a picture could not be enlarged")
                job.error, job.state = "Something went wrong here; the terminal says what.", "failed"


class BusyError(UserError):
    """The queue is full."""


def _reporter(job: Job) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        job.done, job.total = done, total

    return report


def _cut_name(stem: str) -> str:
    """A name from a browser as one that every file system takes: file systems count bytes, not characters."""
    printable = "".join(character for character in stem if character.isprintable())
    return printable.encode("utf-8", "ignore")[:_LONGEST_STEM].decode("utf-8", "ignore").strip()


def sentence(error: UserError) -> str:
    """What the page says of ``error``, which goes on from the name of a file unless it begins with a capital."""
    text = " ".join(str(error).split())
    return f"This file {text}." if not text[:1].isupper() else text
