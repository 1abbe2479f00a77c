"""The colours that an AVIF file states in its box nclx, which Pillow does not tell (ISO/IEC 14496-12 and 23008-12)."""

import struct
from collections.abc import Iterator


def colour_codes_of(content: bytes) -> tuple[int, int] | None:
    """Primaries and transfer function of the main picture, as codes (Rec. ITU-T H.273); None if none are stated."""
    try:
        return _colour_codes(content)
    except (struct.error, KeyError, IndexError):
        return None  # not the boxes of an AVIF file


def _colour_codes(content: bytes) -> tuple[int, int] | None:
    meta = dict(_boxes(dict(_boxes(content))[b"meta"][4:]))
    properties = dict(_boxes(meta[b"iprp"]))
    listed = list(_boxes(properties[b"ipco"]))
    for index in _properties_of(_main_item(meta[b"pitm"]), properties[b"ipma"]):
        kind, data = listed[index - 1]
        if index and kind == b"colr" and data[:4] == b"nclx":
            primaries, transfer = struct.unpack_from(">HH", data, 4)
            return primaries, transfer
    return None


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, position)
        head = 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", content, position + 8)
            head = 16
        size = size or len(content) - position
        if size < head:
            return
        yield kind, content[position + head : position + size]
        position += size


def _main_item(pitm: bytes) -> int:
    (item,) = struct.unpack_from(">I" if pitm[0] else ">H", pitm, 4)
    return int(item)


def _properties_of(item: int, ipma: bytes) -> list[int]:
    """Which of the listed properties belong to an item, counted from 1."""
    version, flags = ipma[0], int.from_bytes(ipma[1:4], "big")
    (entries,) = struct.unpack_from(">I", ipma, 4)
    position = 8
    for _ in range(entries):
        (number,) = struct.unpack_from(">I" if version else ">H", ipma, position)
        position += 4 if version else 2
        count = ipma[position]
        form, mask, width = (">H", 0x7FFF, 2) if flags & 1 else (">B", 0x7F, 1)
        indexes = [struct.unpack_from(form, ipma, position + 1 + width * index)[0] & mask for index in range(count)]
        if number == item:
            return indexes
        position += 1 + width * count
    return []
