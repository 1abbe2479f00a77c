"""Messages on their way to the tracking store, sent by a thread of their own.

A slow store does not slow down the work, and one that is down does not end it: messages that could not be sent are kept
on disk, and sent when the store answers again, at a later start if need be.
"""

import contextlib
import json
import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sr_pipeline.storage import write_text

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds to wait before a store that did not answer is tried again."""

_WORTH_A_WORD = 20  # messages at the end of a run, which a store on the other side of the world takes seconds for


class RefusedError(Exception):
    """The store answered and will never accept this; sending it again is useless."""


class RunGoneError(RefusedError):
    """The run was deleted, so that the store accepts nothing that belongs to it."""


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        run: id of the run it belongs to.
        kind: of the message; it decides how it is sent.
        content: plain values.
        file: on disk, sent with it.
    """

    run: str
    kind: str
    content: dict[str, Any]
    file: str | None = None


Send = Callable[[Message], None]
"""Sends one message.

Raises ``RefusedError`` if the store will never accept it, ``RunGoneError`` if it accepts nothing of that run, and any
other exception if the store does not answer.
"""


class Outbox:
    """Sends messages in order; those that cannot be sent wait in a folder.

    Args:
        send: sends one message, and may be given one again that was sent already.
        folder: where messages wait. Those of an earlier ``Outbox`` are sent first.
    """

    def __init__(self, send: Send, folder: Path) -> None:
        self._send = send
        self._folder = folder
        self._queue: queue.Queue[Message | None] = queue.Queue()
        self._quiet_until = 0.0
        self._gone: set[str] = set()  # deleted runs that the user knows of
        self._number = time.time_ns()
        if kept := self._kept():
            log.info("sending %d reports of earlier runs to the tracking store, while the work goes on", len(kept))
        self._thread = threading.Thread(target=self._work, name="outbox", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Send a message soon; returns at once."""
        self._queue.put(message)

    def wait(self) -> None:
        """Wait until everything is sent or kept."""
        self._queue.join()

    def close(self) -> int:
        """Send everything, and what was kept if the store answers by now; return the number of messages still kept."""
        self._queue.put(None)
        waiting = self._queue.qsize() + len(self._kept())
        if waiting > _WORTH_A_WORD:
            log.info("sending the last %d reports to the tracking store", waiting - 1)
        self._thread.join()
        self._quiet_until = 0.0
        return self._send_kept()

    def _work(self) -> None:
        """Send what was kept, then message by message."""
        self._send_kept()
        while (message := self._queue.get()) is not None:
            waiting = bool(self._kept())  # messages stay in order
            if waiting and time.monotonic() >= self._quiet_until:
                waiting = self._send_kept() > 0
            if waiting or not self._delivered(message):
                self._keep(message)
            self._queue.task_done()
        self._queue.task_done()

    def _kept(self) -> list[Path]:
        return sorted(self._folder.glob("*.json"))

    def _send_kept(self) -> int:
        """Send what this or an earlier process kept; return the number of messages still kept."""
        kept = self._kept()
        for number, path in enumerate(kept):
            message = _read(path)
            if message is not None and not self._delivered(message):
                return len(kept) - number
            _forget(path)
        return 0

    def _delivered(self, message: Message) -> bool:
        if time.monotonic() < self._quiet_until:
            return False
        try:
            self._send(message)
        except RunGoneError as error:
            if message.run not in self._gone:
                log.warning("%s; the work goes on, and what it reports is left out", error)
            self._gone.add(message.run)
        except RefusedError as error:
            log.warning("the tracking store refuses a report (%s), which is left out: %s", message.kind, error)
        except Exception as error:  # whatever goes wrong on the way, the work must go on
            self._quiet_until = time.monotonic() + PATIENCE
            reason = str(error).partition("\n")[0][:300]
            log.warning(
                "the tracking store does not answer (%s); the work goes on, and what it reports is kept in %s",
                reason,
                self._folder,
            )
            return False
        return True

    def _keep(self, message: Message) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._number += 1
            path = self._folder / f"{self._number}.json"
            if message.file is not None:  # it may have changed when it is sent
                copy = path.with_suffix("") / Path(message.file).name
                copy.parent.mkdir()
                shutil.copy(message.file, copy)
                message = Message(message.run, message.kind, message.content, str(copy))
            write_text(path, json.dumps(asdict(message)))
        except OSError as error:
            log.warning("a report (%s) can neither be sent nor kept: %s", message.kind, error)


def _read(path: Path) -> Message | None:
    try:
        return Message(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        log.warning("the kept report %s cannot be read (%s) and is left out", path, error)
        return None


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):  # what stays is sent again, which changes nothing
        path.unlink()
    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
