"""Hashes that are the same on every machine and in every run, unlike Python's own."""

import hashlib
from pathlib import Path

_BITS = 63  # so that a hash fits a signed 64-bit column


def stable_hash(*parts: object) -> int:
    """A number from 0 to 2**63 - 1 that depends on the text of ``parts`` alone.

    >>> stable_hash("split", "cats/1.jpg") == stable_hash("split", "cats/1.jpg")
    True
    """
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _BITS)


def stable_fraction(*parts: object) -> float:
    """``stable_hash`` as a number in [0, 1)."""
    return stable_hash(*parts) / 2**_BITS


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits.

    Raises:
        OSError: if it cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
