"""PNG files without the parts that stop their readers: a damaged extra does not make a picture unreadable."""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from sr_pipeline.pictures.colour_profiles import COLOUR_CHUNKS, Chunk
from sr_pipeline.pictures.png_texts import Text

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_NAMES = {b"iCCP": "colour profile", b"eXIf": "EXIF", b"pHYs": "resolution"}
_LENGTHS = {
    b"pHYs": 9,
    b"gAMA": 4,
    b"cHRM": 32,
    b"sRGB": 1,
    b"cICP": 4,
}  # bytes of their data (PNG, third edition, 11.3)


class ReadablePng(NamedTuple):
    """A PNG file that readers accept.

    Attributes:
        content: the file.
        icc_profile: its colour profile, whatever its size.
        colours: chunks that state what its colours mean without a profile.
        texts: its texts, whatever their length.
        left_out: what was damaged, in words that follow "without its".
    """

    content: bytes
    icc_profile: bytes | None
    colours: tuple[Chunk, ...]
    texts: list[Text]
    left_out: list[str]


def readable_png(content: bytes) -> ReadablePng:
    """Take out of a PNG file what decoding does not need and readers stumble over.

    That is damaged ancillary chunks (PNG, third edition, 5.4: decoders go on without them), and texts and the profile,
    which are returned. Critical chunks stay as they are, damaged or not.
    """
    kept, profile, left_out = [SIGNATURE], None, []
    colours: list[Chunk] = []
    texts: list[Text] = []
    for kind, data, whole, sound in _chunks(content):
        ancillary = bool(kind[:1].islower())
        if ancillary and not (sound and len(data) == _LENGTHS.get(kind, len(data))):
            left_out.append(f"{_name(kind)}, which is damaged")
        elif kind == b"iCCP":
            profile = _profile(data)
            left_out += [] if profile else [f"{_name(kind)}, which is damaged"]
        elif kind in _TEXTS:
            texts.append(Text(kind, data))
        else:
            colours += [Chunk(kind, data)] if kind in COLOUR_CHUNKS else []
            kept.append(whole)
    return ReadablePng(b"".join(kept), profile, tuple(colours), texts, left_out)


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
    compressed = Text(b"zTXt", data)  # which is laid out alike (11.3.3.3)
    return (compressed.content() or None) if compressed.keyword else None


def _name(kind: bytes) -> str:
    return _NAMES.get(kind, f"{kind.decode('latin-1')} data")
