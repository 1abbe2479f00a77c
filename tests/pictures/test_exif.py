import io
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from sr_pipeline.pictures.exif import (
    DamagedExifError,
    Directory,
    Field,
    add_to_tiff,
    block_of,
    for_upright,
    is_empty,
    resolution_of,
    tags_of,
)

NAME = "© 2024 Jürgen Müller, 山田".encode()
MAKER_NOTE = b"OWNNOTE\x00\xff\xfe and offsets into the block"
THUMBNAIL = b"\xff\xd8 a small picture \xff\xd9"
EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
SHORT, LONG, RATIONAL = 3, 4, 5


def numbers(order, kind, *values):
    form = {SHORT: "H", LONG: "I"}[kind]
    return Field(kind, len(values), struct.pack(order + form * len(values), *values))


def text(content):
    return Field(2, len(content) + 1, content + b"\0")


def camera(order):
    """An EXIF block as cameras write it, without its thumbnail."""
    interoperability = Directory(
        {1: text(b"R03"), 4097: numbers(order, SHORT, 64), 4098: numbers(order, SHORT, 48)}, {}
    )
    details = Directory(
        {
            37500: Field(7, len(MAKER_NOTE), MAKER_NOTE),
            37396: numbers(order, SHORT, 10, 10, 5, 5),  # SubjectArea
            40962: numbers(order, SHORT, 64),
            40963: numbers(order, LONG, 48),
        },
        {INTEROPERABILITY: interoperability},
    )
    first = {256: numbers(order, LONG, 64), 274: numbers(order, SHORT, 6), 315: text(NAME), 33432: text(NAME)}
    return block_of(Directory(first, {EXIF: details, GPS: Directory({1: text(b"N")}, {})}), order)


def with_thumbnail(block, order, after=b""):
    """With a second directory that leads to a thumbnail."""
    count = struct.unpack_from(order + "H", block, 8)[0]
    start = len(block)
    second = struct.pack(order + "HHHIIHHIII", 2, 513, LONG, 1, start + 30, 514, LONG, 1, len(THUMBNAIL), 0)
    changed = bytearray(block + second + THUMBNAIL + after)
    struct.pack_into(order + "I", changed, 10 + 12 * count, start)
    return bytes(changed)


@pytest.mark.parametrize("order", ["<", ">"])
def test_what_a_larger_upright_picture_makes_untrue_is_changed_and_nothing_else(order):
    block = camera(order)
    changed, damaged = for_upright(block, (192, 256))
    assert not damaged
    assert len(changed) == len(block)
    assert changed.index(MAKER_NOTE) == block.index(MAKER_NOTE)  # a camera's notes may state where they lie
    before, after = tags_of(block), tags_of(changed)
    assert after.fields == {256: numbers(order, LONG, 192), 315: text(NAME), 33432: text(NAME)}
    assert after.children[GPS] == before.children[GPS]
    details, interoperability = after.children[EXIF], after.children[EXIF].children[INTEROPERABILITY]
    assert details.fields == {
        37500: Field(7, len(MAKER_NOTE), MAKER_NOTE),
        40962: numbers(order, LONG, 192),
        40963: numbers(order, LONG, 256),
    }
    assert interoperability.fields == {
        1: text(b"R03"),
        4097: numbers(order, LONG, 192),
        4098: numbers(order, LONG, 256),
    }


@pytest.mark.parametrize("order", ["<", ">"])
def test_pillow_reads_what_was_changed(order):
    exif = Image.Exif()
    exif.load(for_upright(with_thumbnail(camera(order), order), (192, 256))[0])
    assert ExifTags.Base.Orientation not in exif
    assert exif[ExifTags.Base.ImageWidth] == 192
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageHeight] == 256
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"
    assert exif.get_ifd(ExifTags.IFD.IFD1) == {}


@pytest.mark.parametrize("after", [b"", b"what else a camera keeps"])
def test_no_pixel_of_a_thumbnail_stays(after):
    block = camera("<")
    whole = with_thumbnail(block, "<", after)
    changed, _ = for_upright(whole, (192, 256))
    assert THUMBNAIL[2:-2] not in changed
    assert len(changed) == len(whole) - (0 if after else len(THUMBNAIL)), "nothing else moves"
    assert changed.endswith(after)
    assert changed[: len(block)] == for_upright(block, (192, 256))[0]


def test_a_thumbnail_that_lies_over_something_else_takes_nothing_away():
    order, block = "<", camera("<")
    start = len(block)
    count = struct.unpack_from("<H", block, 8)[0]
    second = struct.pack("<HHHIIHHIII", 2, 513, LONG, 1, 8, 514, LONG, 1, start - 8, 0)
    hostile = bytearray(block + second)
    struct.pack_into(order + "I", hostile, 10 + 12 * count, start)
    assert for_upright(bytes(hostile), (192, 256))[0][:start] == for_upright(block, (192, 256))[0]


@pytest.mark.parametrize("kind", [2, 5, 7, 10])
def test_an_orientation_of_an_odd_type_is_taken_out(kind):
    block = block_of(Directory({274: Field(kind, 1, b"\6\0\0\0\1\0\0\0"), 315: text(NAME)}, {}), "<")
    assert tags_of(for_upright(block, (4, 4))[0]).fields == {315: text(NAME)}


def test_a_part_that_leads_nowhere_is_taken_out_alone():
    block = bytearray(camera("<"))
    position = block.index(struct.pack("<HHI", EXIF, LONG, 1))
    struct.pack_into("<I", block, position + 8, 10**9)
    changed, damaged = for_upright(bytes(block), (4, 4))
    assert damaged
    assert tags_of(changed).fields[33432] == text(NAME)
    assert list(tags_of(changed).children) == [GPS]


def test_directories_that_lead_to_one_another():
    block = bytearray(camera("<"))
    for tag in (EXIF, GPS):
        struct.pack_into("<I", block, block.index(struct.pack("<HHI", tag, LONG, 1)) + 8, 8)
    changed, _ = for_upright(bytes(block), (4, 4))
    assert tags_of(changed).fields[33432] == text(NAME)


@pytest.mark.parametrize("more", [b"", b"\0"])
def test_what_is_added_to_a_tiff_file_lies_as_it_must(more):
    """Directories begin at even places, and their fields ascend (TIFF 6.0, section 2)."""
    order = "<"
    pixels = {256: numbers(order, LONG, 64), 270: text(b"a title"), 33550: numbers(order, SHORT, 1)}
    file = io.BytesIO(block_of(Directory(pixels, {}), order) + more)
    add_to_tiff(file, camera(order), {700: b"a packet"})
    content = file.getvalue()
    (start,) = struct.unpack_from("<I", content, 4)
    assert start % 2 == 0
    (count,) = struct.unpack_from("<H", content, start)
    tags = [struct.unpack_from("<H", content, start + 2 + 12 * index)[0] for index in range(count)]
    assert tags == [256, 270, 315, 700, 33432, 33550, EXIF, GPS]
    assert tags_of(content).fields[270] == text(b"a title")


def test_emptiness():
    only_orientation = block_of(Directory({274: numbers("<", SHORT, 6)}, {}), "<")
    assert not is_empty(only_orientation)
    assert is_empty(for_upright(only_orientation, (4, 4))[0])


@given(st.data())
@example(None)
def test_whatever_the_bytes_are(data):
    """EXIF that was damaged anywhere is changed, or refused by the one error that readers of EXIF raise."""
    block = bytearray(with_thumbnail(camera(">"), ">"))
    if data is None:
        block = bytearray(b"II*\0")
    else:
        for _ in range(data.draw(st.integers(1, 4))):
            position = data.draw(st.integers(4, len(block) - 4))
            block[position : position + 4] = data.draw(st.binary(min_size=4, max_size=4))
        del block[data.draw(st.integers(4, len(block))) :]
    for function in (lambda: for_upright(bytes(block), (4, 4)), lambda: tags_of(bytes(block))):
        try:
            function()
        except DamagedExifError:
            continue
    resolution_of(bytes(block))


@pytest.mark.parametrize(
    ("unit", "expected"), [(2, (300, 150)), (3, (762, 381)), (1, None), (None, (300, 150))], ids=str
)
def test_resolution(unit, expected):
    fields = {282: Field(RATIONAL, 1, struct.pack("<II", 600, 2)), 283: Field(RATIONAL, 1, struct.pack("<II", 150, 1))}
    if unit is not None:
        fields[296] = numbers("<", SHORT, unit)
    assert resolution_of(block_of(Directory(fields, {}), "<")) == (pytest.approx(expected) if expected else None)


def test_no_resolution():
    assert resolution_of(camera("<")) is None
    assert resolution_of(b"") is None
    zero = Field(RATIONAL, 1, struct.pack("<II", 300, 0))
    assert resolution_of(block_of(Directory({282: zero, 283: zero}, {}), "<")) is None


def test_what_pillow_writes_is_read():
    exif = Image.Exif()
    exif[315] = "A. Nonymous"
    exif.get_ifd(ExifTags.IFD.Exif)[36867] = "2024:05:06 07:08:09"
    tags = tags_of(exif.tobytes().removeprefix(b"Exif\0\0"))
    assert tags.fields[315] == text(b"A. Nonymous")
    assert tags.children[EXIF].fields[36867] == text(b"2024:05:06 07:08:09")
