"""Downloads over HTTP that survive bad connections: resumed, retried, checked, several at once."""

import hashlib
import logging
import os
import random
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import requests
import urllib3
from tqdm import tqdm

from sr_pipeline.errors import UserError
from sr_pipeline.storage import PARTIAL

log = logging.getLogger(__name__)

_CHUNK = 1 << 16
_LONGEST_WAIT = 60.0
# Answers that another attempt may change: RFC 9110, sections 15.5.9 and 15.6; RFC 6585, section 4.
_TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Download(NamedTuple):
    """A file to download, with its size and hash if they are known."""

    url: str
    target: Path
    size: int | None = None
    md5: str | None = None


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: consecutive attempts without a new byte after which a download has failed.
        first_wait: seconds before the second attempt; doubled for each one after that, with some random variation.
        timeout: seconds without an answer or a new byte after which an attempt ends.
    """

    attempts: int = 6
    first_wait: float = 1.0
    timeout: float = 30.0


class DownloadError(Exception):
    """A download failed for good; the message says why."""


class _AttemptError(Exception):
    """One attempt failed; another may succeed."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


class Downloader:
    """Fetches files, ``parallel`` at once, with one progress bar for all.

    What arrives is kept in ``<target>.partial`` until it is complete, and resumed from there by HTTP Range, even by a
    later run. The file's ETag or date is stored beside it, so that a file that has changed meanwhile starts over.
    """

    def __init__(self, parallel: int, patience: Patience) -> None:
        self._parallel = parallel
        self._patience = patience
        self._local = threading.local()
        self._stop = threading.Event()

    def fetch(self, downloads: Sequence[Download], name: str, max_failures: int) -> dict[Path, str]:
        """Download all files that are missing.

        Args:
            downloads: what to fetch.
            name: what to call them in the progress bar.
            max_failures: after more failures than this, the rest is not tried.

        Returns:
            Reasons of failed downloads, keyed by target.

        Raises:
            UserError: if more than ``max_failures`` failed or a file cannot be written.
        """
        failures: dict[Path, str] = {}
        sizes = [download.size for download in downloads]
        total = sum(size for size in sizes if size) if all(sizes) else None
        with tqdm(total=total, desc=name, unit="B", unit_scale=True, disable=None) as self._bar:
            for number, (download, reason) in enumerate(self._outcomes(downloads), start=1):
                self._bar.set_postfix_str(f"{number} of {len(downloads)} files")
                if reason is None:
                    continue
                failures[download.target] = reason
                log.warning("%s was not downloaded: %s", download.url, reason)
                if len(failures) > max_failures:
                    self._stop.set()
                    raise UserError(
                        f"{len(failures)} of {number} downloads of {name} failed, the last: {download.url} ({reason}); "
                        "check the address and the connection, then run again: what has arrived will be kept"
                    )
        return failures

    def _outcomes(self, downloads: Sequence[Download]) -> Iterator[tuple[Download, str | None]]:
        with ThreadPoolExecutor(self._parallel) as pool:
            try:
                yield from zip(downloads, pool.map(self._outcome, downloads), strict=True)
            finally:
                self._stop.set()  # so that an interrupted run does not wait for 13 GB
                pool.shutdown(cancel_futures=True)
                self._stop.clear()

    def _outcome(self, download: Download) -> str | None:
        try:
            self._fetch_one(download)
        except DownloadError as error:
            return str(error)
        return None

    def _fetch_one(self, download: Download) -> None:
        target = download.target
        if target.is_file() and download.size in (None, target.stat().st_size):
            self._bar.update(target.stat().st_size)
            return
        partial = _Partial(target)
        self._bar.update(partial.size)
        best, fruitless = 0, 0
        while True:
            try:
                self._attempt(download, partial)
                partial.publish()
                return
            except (_AttemptError, requests.RequestException, urllib3.exceptions.HTTPError) as error:
                best, gained = max(best, partial.size), partial.size > best
                fruitless = 0 if gained else fruitless + 1
                if fruitless >= self._patience.attempts:
                    raise DownloadError(_reason(error)) from error
                wait = self._patience.first_wait * 2 ** max(fruitless - 1, 0) * random.uniform(0.75, 1.25)
                wait = max(wait, getattr(error, "wait", 0))
            except OSError as error:
                raise UserError(f"{target} cannot be written: {error.strerror}; fix that and run again") from error
            if self._stop.wait(min(wait, _LONGEST_WAIT)):
                raise DownloadError("interrupted")

    def _attempt(self, download: Download, partial: "_Partial") -> None:
        headers = {"Accept-Encoding": "identity"}
        if partial.size and partial.validator:
            headers |= {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
        timeout = self._patience.timeout
        with closing(self._session().get(download.url, headers=headers, stream=True, timeout=timeout)) as response:
            expected = _expected_size(response, partial)
            if download.size not in (None, expected):
                raise DownloadError(f"the server has {expected} bytes instead of the expected {download.size}")
            if response.status_code == requests.codes.ok:
                partial.begin(response.headers.get("ETag") or response.headers.get("Last-Modified"))
            with partial.path.open("ab") as file:
                while chunk := response.raw.read1(_CHUNK):  # loses nothing that arrived before the connection broke
                    file.write(chunk)
                    self._bar.update(len(chunk))
                    if self._stop.is_set():
                        raise DownloadError("interrupted")
        if partial.size < expected:
            raise _AttemptError(f"the connection ended after {partial.size} of {expected} bytes")
        if partial.size > expected or (download.md5 and partial.md5() != download.md5):
            partial.remove()
            raise _AttemptError("the MD5 of what arrived is not the expected one")

    def _session(self) -> requests.Session:
        """A session, so that connections are reused; one per thread, because sharing sessions is not safe."""
        if not hasattr(self._local, "session"):
            self._local.session = requests.Session()
        session: requests.Session = self._local.session
        return session


class _Partial:
    """What has arrived of a file so far, and how the server identifies that version of it."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(target.name + PARTIAL)
        self._version = target.with_name(target.name + PARTIAL + ".version")
        target.parent.mkdir(parents=True, exist_ok=True)

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str | None:
        """What If-Range takes; weak ETags do not promise the same bytes (RFC 9110, section 13.1.5)."""
        text = self._version.read_text(encoding="utf-8") if self._version.exists() else ""
        return text if text and not text.startswith("W/") else None

    def begin(self, version: str | None) -> None:
        """Discard what was there, and note the version of what arrives now."""
        self.remove()
        if version:
            self._version.write_text(version, encoding="utf-8")
        self.path.touch()

    def md5(self) -> str:
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()

    def publish(self) -> None:
        os.replace(self.path, self._target)
        self._version.unlink(missing_ok=True)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._version.unlink(missing_ok=True)


def _expected_size(response: requests.Response, partial: _Partial) -> int:
    """Size of the complete file according to the server, if the answer contains the file or the rest of it.

    Raises:
        DownloadError: if no further attempt can succeed.
        _AttemptError: if another one may.
    """
    code = response.status_code
    if code == requests.codes.ok:
        length = response.headers.get("Content-Length", "")
        if not length.isdigit():
            raise DownloadError("the server does not state its length, so a truncated file could not be recognized")
        return int(length)
    if code == requests.codes.partial_content:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if match and int(match[1]) == partial.size:
            return int(match[2])
        partial.remove()
        raise _AttemptError("the server sent a different part than requested")
    if code == requests.codes.requested_range_not_satisfiable:
        partial.remove()  # longer than the file, or the file changed: start over
        raise _AttemptError("the server does not have the rest of the file")
    if code in _TEMPORARY:
        wait = response.headers.get("Retry-After", "")
        raise _AttemptError(f"the server answered {code} {response.reason}", float(wait) if wait.isdigit() else 0)
    raise DownloadError(f"the server answered {code} {response.reason}")


def _reason(error: Exception) -> str:
    """A short reason; requests' own messages are chains of objects."""
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server"
    if isinstance(error, urllib3.exceptions.HTTPError):
        return "the connection broke"
    return str(error)
