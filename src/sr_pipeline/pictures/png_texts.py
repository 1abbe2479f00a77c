"""Texts of PNG files, kept as the chunks they are, and the metadata that programs keep in some of them.

XMP has a keyword of its own. For IPTC, and for EXIF in older files, there is only ImageMagick's way, which others
follow: a text "Raw profile type ..." in hexadecimal digits.
"""

import re
import struct
import zlib
from typing import NamedTuple

XMP_KEYWORD = b"XML:com.adobe.xmp"
_RAW = b"Raw profile type "
_LARGEST = 64_000_000  # bytes; no more of a compressed text is unpacked
_OF_THE_OLD_SIZE = re.compile(rb"Thumb::|(?:exif|tiff):.*(?:Dimension|Orientation|ImageWidth|ImageLength|Thumbnail)")
_LATIN_1_TEXT = re.compile(rb"[\n\x20-\x7e\xa0-\xff]*")


class Text(NamedTuple):
    """A chunk tEXt, zTXt or iTXt (PNG, third edition, 11.3.3)."""

    kind: bytes
    data: bytes

    @property
    def keyword(self) -> bytes:
        """What it is about."""
        return self.data.partition(b"\0")[0]

    def content(self) -> bytes | None:
        """The text, unpacked; None if it is damaged."""
        rest = self.data.partition(b"\0")[2]
        if self.kind == b"tEXt":
            return rest
        if self.kind == b"zTXt":
            return _unpacked(rest[1:]) if rest[:1] == b"\0" else None
        packed, text = rest[:1], rest[2:].split(b"\0", 2)[-1]  # language and translated keyword go before it
        return _unpacked(text) if packed == b"\1" else text


def is_kept(text: Text) -> bool:
    """Whether a text says something that is as true of an upright picture of another size."""
    return not text.keyword.startswith(_RAW) and not _OF_THE_OLD_SIZE.match(text.keyword)


def raw_profiles(texts: list[Text]) -> dict[bytes, bytes]:
    """Metadata in texts "Raw profile type ...", by type: exif, xmp, iptc, 8bim, icc and APP1."""
    found = {}
    for text in texts:
        if text.keyword.startswith(_RAW):
            lines = (text.content() or b"").split(b"\n", 3)  # nothing, type, number of bytes, digits
            try:
                found[text.keyword.removeprefix(_RAW)] = bytes.fromhex(lines[3].decode("ascii"))
            except (IndexError, ValueError):
                continue
    return found


def raw_profile(kind: bytes, content: bytes) -> Text:
    """Metadata as a text "Raw profile type ..."."""
    digits = content.hex().encode()
    lines = [digits[start : start + 72] for start in range(0, len(digits), 72)]
    text = b"\n%s\n%8d\n%s\n" % (kind, len(content), b"\n".join(lines))
    return Text(b"zTXt", _RAW + kind + b"\0\0" + zlib.compress(text))


def xmp_text(packet: bytes) -> Text:
    """An XMP packet as the text that PNG has for it (XMP specification, part 3, 1.1.5)."""
    return Text(b"iTXt", XMP_KEYWORD + b"\0\0\0\0\0" + packet)


def comment_text(comment: bytes) -> Text:
    """A comment of another format, whose encoding nothing states: UTF-8 if it can be that, else Latin-1."""
    lines = comment.rstrip(b"\0").replace(b"\r\n", b"\n")
    if lines.isascii() and _LATIN_1_TEXT.fullmatch(lines):
        return Text(b"tEXt", b"Comment\0" + lines)
    try:
        lines.decode("utf-8")
    except UnicodeDecodeError:
        lines = lines.decode("latin-1").encode("utf-8")
    return Text(b"iTXt", b"Comment\0\0\0\0\0" + lines.replace(b"\0", b""))


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file with its length and checksum (PNG, third edition, 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _unpacked(packed: bytes) -> bytes | None:
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, _LARGEST)
    except zlib.error:
        return None
    return content if unpacker.eof else None
