"""The models that the page offers."""

import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sr_pipeline.errors import UserError
from sr_pipeline.inference.models import open_model
from sr_pipeline.packaged import PACKAGED
from sr_pipeline.serving.job_queue import NOT_OFFERED
from sr_pipeline.tracking.model_names import registered_labels, resolve_model

if TYPE_CHECKING:
    from sr_pipeline.inference.enlargement import Upscale

_AGAIN = 30.0  # seconds until the registry is asked again
_FIRST_ANSWER = 2.0  # seconds that the page waits for the registry's first answer


class ModelCache:
    """The models that the page offers; those last used stay open.

    The registry is asked in the background: one that is down or silent holds up neither the page nor a picture.

    Args:
        first: the one that is offered first.
    """

    def __init__(self, first: str) -> None:
        self._first = first
        self._open = lru_cache(maxsize=2)(lambda name: open_model(resolve_model(name)))
        self._lock = threading.Lock()
        self._registered: dict[str, str] = {}
        self._lookup: threading.Thread | None = None
        self._next_lookup = 0.0
        self._answered = threading.Event()

    def listed(self) -> list[dict[str, str]]:
        """``name`` and ``label`` of each."""
        self._look_up()
        self._answered.wait(_FIRST_ANSWER)
        self._answered.set()  # whatever came of it: nobody waits a second time
        labels = {name: f"{name}: {packaged.title}" for name, packaged in PACKAGED.items()} | self._registered
        first = {self._first: labels.get(self._first, Path(self._first).name)}
        return [{"name": name, "label": label} for name, label in (first | labels).items()]

    def open(self, name: str) -> "Upscale":
        """The model of that name, one that is listed.

        Raises:
            UserError: if there is none.
        """
        name = name or self._first
        if name not in {self._first, *PACKAGED, *self._registered}:  # or any file of this machine could be named
            raise UserError(NOT_OFFERED)
        return self._open(name)

    def _look_up(self) -> None:
        """Ask the registry, unless that was done a moment ago or is being done."""
        with self._lock:
            if (self._lookup and self._lookup.is_alive()) or time.monotonic() < self._next_lookup:
                return
            self._next_lookup = time.monotonic() + _AGAIN
            self._lookup = threading.Thread(target=self._ask_the_registry, name="registry", daemon=True)
            self._lookup.start()

    def _ask_the_registry(self) -> None:
        try:
            self._registered = registered_labels()
        finally:
            self._answered.set()
