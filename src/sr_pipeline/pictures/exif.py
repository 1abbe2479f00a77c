"""EXIF kept as bytes: only what an upright picture of another size makes untrue is changed, and in its place.

Names, comments and a camera's own notes stay byte for byte, also where they break the standard. An EXIF block is a TIFF
file without pixels (Exif 2.32, 4.6; TIFF 6.0, section 2), so the same functions read and write the tags of TIFF files.
"""

import os
import struct
from collections.abc import Iterable
from typing import IO, NamedTuple

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}  # bytes of a value
_BYTE, _SHORT, _LONG = 1, 3, 4

PHOTOMETRIC, XMP, IPTC, PHOTOSHOP, ICC_PROFILE = 262, 700, 33723, 34377, 34675
CONVERTED_PHOTOMETRICS = (5, 8, 9, 10)  # CMYK and L*a*b*, whose profiles do not describe what becomes of them
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_ORIENTATION = 274
_STORAGE = {273, 279, 513, 514}  # where pixels lie: strips, and a thumbnail
_WIDTHS = {256, 40962, 4097}  # ImageWidth, PixelXDimension, RelatedImageWidth
_HEIGHTS = {257, 40963, 4098}
_IN_PIXELS = {37396, 41492, 41486, 41487, 41488}  # SubjectArea, SubjectLocation, FocalPlaneResolution
_THUMBNAIL, _THUMBNAIL_LENGTH = 513, 514

# ImageDescription, Make, Model, Software, DateTime, Artist, HostComputer, ratings, Copyright, and Windows' texts: of a
# TIFF file's tags those that say something about the picture and not about how it is stored.
_DESCRIPTIVE = {270, 271, 272, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096)}


class DamagedExifError(Exception):
    """The first directory of an EXIF block cannot be read."""


class Field(NamedTuple):
    """A field of a directory: type and number of its values (TIFF 6.0, section 2), and those as they lie there."""

    kind: int
    values: int
    """How many."""
    content: bytes


class Directory(NamedTuple):
    """Fields by tag, and further directories by the tag that leads to them."""

    fields: dict[int, Field]
    children: dict[int, "Directory"]


class _Entry(NamedTuple):
    position: int
    """Of its 12 bytes."""
    tag: int
    kind: int
    start: int
    """Of its values."""
    length: int
    """Of its values, in bytes."""
    values: int
    """How many."""


class _Block:
    """A block of EXIF, or a TIFF file: directories of entries with 12 bytes each."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        self.order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4], "")
        if not self.order:
            raise DamagedExifError
        self.first = self.number("I", 4)

    def number(self, kind: str, position: int) -> int:
        try:
            return int(struct.unpack_from(self.order + kind, self.content, position)[0])
        except struct.error as error:
            raise DamagedExifError from error

    def put(self, kind: str, position: int, *values: int) -> None:
        struct.pack_into(self.order + kind, self.content, position, *values)

    def entries(self, directory: int) -> list[_Entry]:
        count = self.number("H", directory)
        if directory < 8 or directory + 2 + 12 * count > len(self.content):
            raise DamagedExifError
        return [self._entry(directory + 2 + 12 * index) for index in range(count)]

    def _entry(self, position: int) -> _Entry:
        tag, kind, count = (self.number(form, position + at) for form, at in (("H", 0), ("H", 2), ("I", 4)))
        length = _SIZES.get(kind, 1) * count
        start = position + 8 if length <= 4 else self.number("I", position + 8)
        return _Entry(position, tag, kind, start, length, count)

    def next_directory(self, directory: int) -> int:
        position = directory + 2 + 12 * self.number("H", directory)
        return self.number("I", position) if position + 4 <= len(self.content) else 0

    def child(self, entries: Iterable[_Entry], tag: int) -> int | None:
        return next((self.number("I", entry.position + 8) for entry in entries if entry.tag == tag), None)

    def replace(self, directory: int, entries: list[_Entry]) -> None:
        """Leave only these entries in a directory, and no further directory after it; nothing else moves."""
        size = 2 + 12 * self.number("H", directory) + 4
        kept = b"".join(bytes(self.content[entry.position : entry.position + 12]) for entry in entries)
        self.put("H", directory, len(entries))
        end = min(directory + size, len(self.content))
        self.content[directory + 2 : end] = kept.ljust(end - directory - 2, b"\0")


def for_upright(exif: bytes, size: tuple[int, int]) -> tuple[bytes, bool]:
    """The EXIF of a picture for the same picture, upright and of another size.

    Its orientation, its thumbnail and what is stated in pixels of the old size are taken out, sizes are replaced; all
    else stays where and as it was.

    Args:
        exif: from its byte order mark on.
        size: (width, height) from now on.

    Returns:
        The EXIF, and whether a part of it was unreadable and was taken out.

    Raises:
        DamagedExifError: if its first directory cannot be read.
    """
    block = _Block(exif)
    thumbnail = block.next_directory(block.first)
    damaged = {tag for tag in (_EXIF, _GPS) if not _change_child(block, block.first, tag, size)}
    _change(block, block.first, size, left_out={_ORIENTATION, *_STORAGE, *damaged})
    _cut_thumbnail(block, thumbnail)
    return bytes(block.content), bool(damaged)


def _change_child(block: _Block, parent: int, tag: int, size: tuple[int, int]) -> bool:
    """Change the directory that a tag leads to, if it does; whether that can be read."""
    directory = block.child(block.entries(parent), tag)
    if directory is None:
        return True
    try:
        left_out = set() if _change_child_of_exif(block, directory, size) else {_INTEROPERABILITY}
        _change(block, directory, size, left_out=_IN_PIXELS | left_out)
    except DamagedExifError:
        return False
    return True


def _change_child_of_exif(block: _Block, directory: int, size: tuple[int, int]) -> bool:
    child = block.child(block.entries(directory), _INTEROPERABILITY)
    try:
        if child is not None:
            _change(block, child, size, left_out=set())
    except DamagedExifError:
        return False
    return True


def _change(block: _Block, directory: int, size: tuple[int, int], left_out: set[int]) -> None:
    entries = block.entries(directory)
    for entry in entries:
        if entry.tag in _WIDTHS | _HEIGHTS:
            block.put("HHII", entry.position, entry.tag, _LONG, 1, size[entry.tag in _HEIGHTS])
    if directory == block.first or any(entry.tag in left_out for entry in entries):
        block.replace(directory, [entry for entry in entries if entry.tag not in left_out])


def _cut_thumbnail(block: _Block, directory: int) -> None:
    """Take away the pixels of the thumbnail, to which nothing leads any more, if they lie where nothing else lies."""
    try:
        entries = block.entries(directory) if directory else []
    except DamagedExifError:
        return
    start, length = (
        next((block.number("I", entry.position + 8) for entry in entries if entry.tag == tag), 0)
        for tag in (_THUMBNAIL, _THUMBNAIL_LENGTH)
    )
    end = start + length
    if not 8 <= start < end <= len(block.content) or any(a < end and start < b for a, b in _used(block)):
        return
    if end == len(block.content):
        del block.content[start:]
    else:
        block.content[start:end] = bytes(length)


def _used(block: _Block) -> list[tuple[int, int]]:
    """From where to where directories and their values lie."""
    parts = []
    directories = [block.first]
    for directory in directories:
        entries = block.entries(directory)
        parts.append((directory, directory + 6 + 12 * len(entries)))
        parts += [(entry.start, entry.start + entry.length) for entry in entries]
        for tag in (_EXIF, _GPS, _INTEROPERABILITY):
            child = block.child(entries, tag)
            if child is not None and child not in directories:
                directories.append(child)
    return parts


def is_empty(exif: bytes) -> bool:
    """Whether the first directory of an EXIF block has no fields."""
    block = _Block(exif)
    return not block.entries(block.first)


def tags_of(content: bytes) -> Directory:
    """All fields of the first directory of a TIFF file or an EXIF block, and the directories of EXIF below it.

    Raises:
        DamagedExifError: if its first directory cannot be read.
    """
    block = _Block(content)
    return _directory(block, block.first, depth=0)


def _directory(block: _Block, position: int, depth: int) -> Directory:
    entries = block.entries(position)
    children = {}
    for tag in (_EXIF, _GPS, _INTEROPERABILITY):
        child = block.child(entries, tag)
        if child is not None and depth < 2:  # EXIF lies below the first directory, interoperability below EXIF
            try:
                children[tag] = _directory(block, child, depth + 1)
            except DamagedExifError:
                continue
    fields = {
        entry.tag: Field(entry.kind, entry.values, bytes(block.content[entry.start : entry.start + entry.length]))
        for entry in entries
        if entry.tag not in (_EXIF, _GPS, _INTEROPERABILITY)
        and entry.kind in _SIZES
        and entry.start + entry.length <= len(block.content)
    }
    return Directory(fields, children)


def number_of(tags: Directory, tag: int, order: str) -> int | None:
    """The value of a field that holds one SHORT; None if there is none."""
    field = tags.fields.get(tag)
    return struct.unpack(order + "H", field.content[:2])[0] if field and field.kind == _SHORT and field.values else None


def descriptive(tags: Directory) -> Directory:
    """Of the tags of a TIFF file those that EXIF has too."""
    return Directory({tag: field for tag, field in tags.fields.items() if tag in _DESCRIPTIVE}, tags.children)


def resolution_of(content: bytes) -> tuple[float, float] | None:
    """Pixels per inch as the first directory states them; None if it states none, or only their ratio."""
    try:
        block = _Block(content)
        values = {entry.tag: entry for entry in block.entries(block.first)}
        across, down, unit = (values.get(tag) for tag in (_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT))
        if across is None or down is None:
            return None
        inches = {2: 1.0, 3: 2.54}.get(block.number("H", unit.start) if unit else 2)
        x, y = (block.number("I", entry.start) / block.number("I", entry.start + 4) for entry in (across, down))
        return (x * inches, y * inches) if inches else None
    except (DamagedExifError, ZeroDivisionError):
        return None


def block_of(tags: Directory, order: str) -> bytes:
    """An EXIF block with these tags; ``order`` is that of their values, ``<`` or ``>``."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    return head + directory_bytes(tags, order, 8)


def add_to_tiff(file: IO[bytes], exif: bytes | None, values: dict[int, bytes | None]) -> None:
    """Add metadata to a TIFF file, at its end: its first directory is written there anew and leads to the pixels.

    Args:
        file: the file, in the byte order of the EXIF, open for reading and writing.
        exif: an EXIF block, whose fields rule over those of the file.
        values: further fields, of bytes, by their tags.
    """
    added = {tag: Field(_BYTE, len(value), value) for tag, value in values.items() if value}
    tags = descriptive(tags_of(exif)) if exif else Directory({}, {})
    if not added and not tags.fields and not tags.children:
        return
    order = order_of(file.read(4))
    (first,) = struct.unpack(order + "I", file.read(4))
    file.seek(first)
    (count,) = struct.unpack(order + "H", file.read(2))
    entries = [file.read(12) for _ in range(count)]
    start = (file.seek(0, os.SEEK_END) + 1) // 2 * 2
    file.seek(start)
    file.write(directory_bytes(Directory({**tags.fields, **added}, tags.children), order, start, entries))
    file.seek(4)
    file.write(struct.pack(order + "I", start))


def order_of(content: bytes) -> str:
    """The byte order of a TIFF file or an EXIF block, ``<`` or ``>``."""
    return ">" if content[:2] == b"MM" else "<"


def directory_bytes(tags: Directory, order: str, start: int, raw_entries: Iterable[bytes] = ()) -> bytes:
    """A directory, its values and its children, to lie at ``start`` of a file.

    Args:
        tags: what is in it.
        order: byte order of the values, ``<`` or ``>``.
        start: where it will lie.
        raw_entries: further entries of 12 bytes, whose values lie elsewhere in the file.
    """
    entries = {struct.unpack(order + "H", entry[:2])[0]: entry for entry in raw_entries}
    position = start + 2 + 12 * len(entries.keys() | tags.fields.keys() | tags.children.keys()) + 4
    values = b""
    for tag, field in tags.fields.items():
        inline = field.content.ljust(4, b"\0")
        if len(field.content) > 4:
            inline = struct.pack(order + "I", position + len(values))
            values += field.content + b"\0" * (len(field.content) % 2)  # values begin at even offsets
        entries[tag] = struct.pack(order + "HHI", tag, field.kind, field.values) + inline
    for tag, child in tags.children.items():
        entries[tag] = struct.pack(order + "HHII", tag, _LONG, 1, position + len(values))
        values += directory_bytes(child, order, position + len(values))
    head = struct.pack(order + "H", len(entries))
    return head + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4) + values
