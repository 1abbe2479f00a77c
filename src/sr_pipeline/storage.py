"""Files on this machine or, with an address like ``s3://bucket/folder``, on any storage that fsspec supports."""

import datetime
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer
from upath import UPath

from sr_pipeline.errors import UserError


def expanded(value: object) -> str:
    """A path or address as parameters give it, with ``~`` and variables like ``$HOME`` filled in as a shell does.

    YAML makes numbers and dates of folders' names such as ``2014`` and ``2014-05-01``. Variables that are not set stay.

    Raises:
        ValueError: if it is something else.
    """
    is_name = isinstance(value, (str, Path, UPath, int, float, datetime.date)) and not isinstance(value, bool)
    if not is_name or value == "":
        raise ValueError("a path or an address should be here")
    return os.path.expandvars(os.path.expanduser(str(value)))  # noqa: PTH111 - Path would change addresses


def _location(value: object) -> UPath:
    text = expanded(value)
    try:
        return UPath(text)
    except ValueError as error:
        raise ValueError(f"no kind of storage has such addresses ({error})") from error


Location = Annotated[UPath, BeforeValidator(_location), PlainSerializer(str)]
"""A path or an fsspec address as a parameter; it is written out as a string."""

LocalLocation = Annotated[Path, BeforeValidator(expanded)]
"""A path on this machine as a parameter."""

PARTIAL = ".partial"
"""Ending of files that are still being written."""

LONGEST_NAME = 255
"""Bytes of a file's name that the usual file systems allow (NAME_MAX)."""


def locate(path: str | Path | UPath) -> UPath:
    """The path or fsspec address as a ``UPath``; local ones become absolute.

    Raises:
        UserError: if the package for this kind of storage is not installed.
    """
    text = str(path)
    try:
        found = UPath(text)
        if not is_local(found):
            _ = found.fs  # imports the package for this storage
        return UPath(found.path).absolute() if is_local(found) else found
    except (ImportError, ValueError) as error:
        raise UserError(f"{text} cannot be reached: {error}") from error


def is_local(path: UPath) -> bool:
    """Whether ``path`` is on a file system of this machine, network mounts included."""
    return path.protocol in ("", "file", "local")


def local_path(path: UPath) -> Path:
    """A local ``path`` as a plain one."""
    return Path(path.path)


def read_bytes(file: str | Path) -> bytes:
    """Content of a file; a plain path goes straight to the system, for loops over many small files.

    Raises:
        OSError: if it cannot be read.
        UserError: as ``locate``.
    """
    return locate(file).read_bytes() if "://" in str(file) else Path(file).read_bytes()


@contextmanager
def reaching(path: UPath, parameter: str) -> Iterator[None]:
    """Say in one line, with the parameter that names it, if ``path`` cannot be reached within the block.

    Raises:
        UserError: for an OSError, and for whatever else the package for another kind of storage raises.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if is_local(path) and not isinstance(error, OSError):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} cannot be reached ({reason}); check it, or set {parameter} to another") from error


@contextmanager
def atomic_write(target: UPath | Path) -> Iterator[Path]:
    """Give a local file to write, which becomes ``target`` only if the block ends without an error.

    On a file system, it is a uniquely named file beside the target until then, so that a target is never
    partial and two writers never share a file. On object storage, where files only appear once they are complete,
    it is uploaded.
    """
    target = UPath(target)
    if is_local(target):
        path = local_path(target)
        partial = path.with_name(_partial_name(path.name))
        try:
            yield partial
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch) / target.name
            target.fs.put_file(str(Path(scratch) / target.name), target.path)


def _partial_name(name: str) -> str:
    """A unique name for what will be called ``name``, cut to the bytes that file systems allow."""
    unique = f".{uuid.uuid4().hex[:8]}{PARTIAL}"
    return os.fsencode(name)[: LONGEST_NAME - len(unique)].decode("utf-8", "ignore") + unique


def write_text(target: UPath | Path, text: str) -> None:
    """Write a UTF-8 text file that appears completely or not at all."""
    with atomic_write(target) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")  # the same bytes on Windows
