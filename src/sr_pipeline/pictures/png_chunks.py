"""PNG files without the parts that stop their readers: a damaged extra does not make a picture unreadable."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_NAMES = {b"iCCP": "colour profile", b"eXIf": "EXIF", b"pHYs": "resolution"}
_LENGTHS = {b"pHYs": 9, b"gAMA": 4, b"cHRM": 32, b"sRGB": 1}  # bytes of their data (PNG, third edition, 11.3)
_LARGEST_PROFILE = 64_000_000  # bytes; no more of a compressed profile is unpacked


class ReadablePng(NamedTuple):
    """A PNG file that readers accept.

    Attributes:
        content: the file.
        icc_profile: its colour profile, whatever its size.
        left_out: what was damaged, in words that follow "without its".
    """

    content: bytes
    icc_profile: bytes | None
    left_out: list[str]


def readable_png(content: bytes) -> ReadablePng:
    """Take out of a PNG file what decoding does not need and readers stumble over.

    That is damaged ancillary chunks (PNG, third edition, 5.4: decoders go on without them), texts of any length, and
    the profile, which is returned. Critical chunks stay as they are, damaged or not.
    """
    kept, profile, left_out = [SIGNATURE], None, []
    for kind, data, whole, sound in _chunks(content):
        ancillary = bool(kind[:1].islower())
        if ancillary and not (sound and len(data) == _LENGTHS.get(kind, len(data))):
            left_out.append(f"{_name(kind)}, which is damaged")
        elif kind == b"iCCP":
            profile = _profile(data)
            left_out += [] if profile else [f"{_name(kind)}, which is damaged"]
        elif kind not in _TEXTS:
            kept.append(whole)
    return ReadablePng(b"".join(kept), profile, left_out)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bytes, bool]]:
    """Kind, data, the whole chunk, and whether its checksum is right; what is cut short comes last."""
    position = len(SIGNATURE)
    while position < len(content):
        header = content[position : position + 8]
        length, kind = struct.unpack(">I4s", header) if len(header) == 8 else (len(content), b"IDAT")
        whole = content[position : position + 12 + length]
        data, checksum = whole[8 : 8 + length], whole[8 + length :]
        sound = len(checksum) == 4 and zlib.crc32(data, zlib.crc32(kind)) == int.from_bytes(checksum, "big")
        yield kind, data, whole, sound
        position += 12 + length


def _profile(data: bytes) -> bytes | None:
    """The profile in an iCCP chunk; None if it is compressed in a way that is not known, or damaged."""
    name, separator, rest = data.partition(b"\0")
    if not separator or not name or rest[:1] != b"\0":
        return None
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(rest[1:], _LARGEST_PROFILE)
    except zlib.error:
        return None
    return profile if unpacker.eof and profile else None


def _name(kind: bytes) -> str:
    return _NAMES.get(kind, f"{kind.decode('latin-1')} data")
