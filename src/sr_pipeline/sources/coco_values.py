"""What the values in people's COCO files mean, where their meaning is clear."""

import re
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from sr_pipeline.hashing import stable_hash
from sr_pipeline.sources.photograph import printable

Key = int | str
"""An id as records refer to each other by it: a number, or any other text."""

UNKNOWN = "unknown"

_LARGEST_ID = 2**63 - 1  # of the manifest, a signed 64-bit column
_DIGITS = re.compile(r"[+-]?\d{1,40}", re.ASCII)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DRIVE = re.compile(r"[A-Za-z]:")


class UnclearValueError(ValueError):
    """A value without a clear meaning; the message says what is wrong with it, and goes on from its place."""


class ImageName(NamedTuple):
    """Where an image is: a path below the folder of images, and the address that it was given as, if it was."""

    path: str
    address: str | None = None


def key_of(value: int | float | str) -> Key:
    """The id that a JSON value stands for: 7, 7.0, "7" and "007" are one.

    >>> key_of("007"), key_of(7.0), key_of("a7")
    (7, 7, 'a7')

    Raises:
        UnclearValueError: for an empty text or a number with a fraction.
    """
    if isinstance(value, str):
        text = value.strip()
        if not text:
            raise UnclearValueError("an empty text is not an id")
        return int(text) if _DIGITS.fullmatch(text) else text
    if value != value // 1:
        raise UnclearValueError(f"{value} is not an id")
    return int(value)


def id_of(key: Key) -> int:
    """The id of a manifest's row, 0 to 2**63 - 1: the key itself where it is such a number, else a hash of it.

    >>> id_of(9), id_of(2**64) == id_of(2**64)
    (9, True)
    """
    if isinstance(key, int) and 0 <= key <= _LARGEST_ID:
        return key
    return stable_hash("coco image", printable(str(key)))


def edge_of(value: int | float | str | None) -> int | None:
    """Width or height in pixels; None where a file leaves it out, or says null or 0.

    Raises:
        UnclearValueError: if it is not a number of pixels.
    """
    if type(value) is int and value > 0:
        return value
    key = 0 if value is None else key_of(value)
    if isinstance(key, str) or key < 0:
        raise UnclearValueError(f"{shortened(value)} is not a number of pixels")
    return key or None


def name_of(file_name: str) -> ImageName:
    r"""What ``file_name`` means: a path with either kind of slash, or the last part of an address.

    >>> name_of(r"train\a.jpg").path, name_of("https://host/x/my%20cat.jpg?size=1").path
    ('train/a.jpg', 'my cat.jpg')

    Raises:
        UnclearValueError: if it is empty, holds a NUL character, or leads out of the folder.
    """
    if _ADDRESS.match(file_name):
        path, address = unquote(urlsplit(file_name).path).rpartition("/")[2], file_name
    else:
        path, address = file_name.replace("\\", "/"), None
    if "\0" in path:
        raise UnclearValueError(f"{shortened(file_name)} contains a NUL character, which no file name can")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        raise UnclearValueError(f"{shortened(file_name)} names no file")
    if path.startswith("/") or _DRIVE.match(path) or ".." in parts:
        raise UnclearValueError(f"{shortened(file_name)} leads out of the folder of images")
    return ImageName("/".join(parts), address)


class Licences:
    """The licences of a file: records with id, name and address, each of which may be missing, or just names."""

    def __init__(self, listed: Any) -> None:
        """``listed`` is what the file has as ``licenses``.

        Raises:
            UnclearValueError: if it is neither a list nor a single licence; the message starts with the place.
        """
        entries = [] if listed is None else [listed] if isinstance(listed, (dict, str)) else listed
        if not isinstance(entries, list):
            raise UnclearValueError(f"licenses: {shortened(listed)} is not a list")
        self._names: dict[Key, str] = {}
        for number, entry in enumerate(entries):
            try:
                key, name = _described({"name": entry} if isinstance(entry, str) else entry)
            except UnclearValueError as problem:
                raise UnclearValueError(f"licenses[{number}]: {problem}") from problem
            if name or key is not None:
                self._names.setdefault(name if key is None else key, name)
        self._keys = {name: key for key, name in self._names.items() if name}

    @property
    def known(self) -> list[Key]:
        """Ids, and the names of licences without an id."""
        return sorted(self._names, key=lambda key: (isinstance(key, str), key))

    def of(self, value: Any) -> dict[Key, str]:
        """Names by id of what an image has as ``license``: an id, a name, a licence's record, or a list of these.

        Raises:
            UnclearValueError: if it is something else.
        """
        if type(value) is int and self._names.get(value):
            return {value: self._names[value]}  # most are
        if isinstance(value, list):
            return {key: name for each in value for key, name in self.of(each).items()}
        key, name = _described(value if isinstance(value, dict) else {"id": value})
        key = key if key is not None else name
        key = self._keys.get(key, key) if isinstance(key, str) else key
        if key == "":
            return {}
        return {key: self._names.get(key) or name or (key if isinstance(key, str) else UNKNOWN)}


def _described(entry: Any) -> tuple[Key | None, str]:
    """Id and name of a licence's record; without a name its address, which says as much."""
    if not isinstance(entry, dict):
        raise UnclearValueError(f"{shortened(entry)} is not a licence")
    texts = (entry.get(field) for field in ("name", "url"))
    name = next((text.strip() for text in texts if isinstance(text, str) and text.strip()), "")
    key = entry.get("id")
    if key is None or key == "":
        return None, name
    if isinstance(key, bool) or not isinstance(key, (int, float, str)):
        raise UnclearValueError(f"{shortened(key)} is not an id")
    return key_of(key), name


def shortened(value: Any) -> str:
    """How a value is written, cut to the length that a line has room for."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
