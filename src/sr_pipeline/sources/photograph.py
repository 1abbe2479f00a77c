"""What a source knows about an image, and which images a run takes."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from upath import UPath

from sr_pipeline.hashing import stable_hash

_NOT_UNICODE = re.compile("[\ud800-\udfff]")


class Photograph(NamedTuple):
    """One image as its source describes it, before it has been opened."""

    id: int
    file: UPath
    split: str
    width: int | None = None
    """In pixels; None if the source does not know."""
    height: int | None = None
    licence: str = "unknown"
    categories: tuple[str, ...] = ()
    url: str | None = None
    """Where it can be downloaded."""


def printable(name: str) -> str:
    r"""A file's name with bytes that are not UTF-8, which Python keeps as surrogates, written as ``\xe9``.

    >>> printable(b"caf\xe9.jpg".decode("utf-8", "surrogateescape"))
    'caf\\xe9.jpg'
    """
    return _NOT_UNICODE.sub(_escape, name)


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


class Selection(NamedTuple):
    """Which photographs of a split to take."""

    seed: int
    max_images: int | None = None
    min_size: int = 1

    def of(self, photographs: Iterable[Photograph]) -> list[Photograph]:
        """All of them by id, or ``max_images`` chosen by seed.

        A photograph's place in the order depends only on the seed and its own id, so a larger
        ``max_images`` takes the same ones and more. Photographs known to be smaller than ``min_size`` do not
        count towards ``max_images``; those met on the way are listed too, for the report.
        """
        listed = list(photographs)
        if self.max_images is not None:
            listed.sort(key=lambda photograph: stable_hash("subset", self.seed, photograph.id))
            large = 0
            for end, photograph in enumerate(listed, start=1):
                large += not self.too_small(photograph)
                if large == self.max_images:
                    del listed[end:]
                    break
        return sorted(listed, key=lambda photograph: photograph.id)

    def too_small(self, photograph: Photograph) -> bool:
        """Whether the source says that it is smaller than ``min_size``."""
        return min(photograph.width or self.min_size, photograph.height or self.min_size) < self.min_size
