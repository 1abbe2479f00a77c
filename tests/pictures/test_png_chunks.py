import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.reading import decode_picture

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)


def chunk(kind, data, wrong=0):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)) ^ wrong)


def with_chunks(*chunks):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    content = buffer.getvalue()
    return content[:33] + b"".join(chunks) + content[33:]  # after signature and IHDR


def iccp(profile, method=b"\0"):
    return b"icc\0" + method + zlib.compress(profile)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"pHYs", b"tIME", b"prVt"]),
            st.binary(max_size=60),
            st.sampled_from([0, 1]),
        ),
        max_size=4,
    )
)
def test_no_ancillary_chunk_makes_a_picture_unreadable(parts):
    """Decoders go on without what they cannot read, and say so (PNG, third edition, 5.4)."""
    picture = decode_picture(with_chunks(*(chunk(*part) for part in parts)))
    assert np.array_equal(picture.colour, PIXELS)
    wrong = sum(bool(damaged) for _, _, damaged in parts)
    assert len(picture.left_out) >= wrong


def test_what_is_damaged_is_named():
    assert decode_picture(with_chunks(chunk(b"iCCP", iccp(PROFILE), 1))).left_out == (
        "colour profile, which is damaged",
    )
    assert decode_picture(with_chunks(chunk(b"iCCP", iccp(PROFILE, b"\7")))).left_out == (
        "colour profile, which is damaged",
    )
    assert decode_picture(with_chunks(chunk(b"eXIf", b"MM", 1))).left_out == ("EXIF, which is damaged",)
    assert decode_picture(with_chunks()).left_out == ()


@pytest.mark.parametrize("size", [0, 3_000_000])
def test_profiles_and_texts_of_any_length(size):
    profile = PROFILE + bytes(size)
    text = b"Comment\0\0" + zlib.compress(bytes(size + 1))
    picture = decode_picture(with_chunks(chunk(b"iCCP", iccp(profile)), chunk(b"zTXt", text)))
    assert picture.metadata.icc_profile == profile
    assert picture.left_out == ()


def test_damaged_pixels_are_not_overlooked():
    content = with_chunks()
    at = content.index(b"IDAT") + 4
    with pytest.raises(UserError, match="is damaged or cut short"):
        decode_picture(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("badcrc_anc.png", ("tEXt data, which is damaged",)),
        ("crc_iccp.png", ("colour profile, which is damaged",)),
        ("icc_badmethod.png", ("colour profile, which is damaged",)),
        ("icc_huge.png", ()),
        ("text_huge.png", ()),
    ],
)
def test_shared_cases(shared, name, left_out):
    assert decode_picture((shared / "cases/upscale" / name).read_bytes()).left_out == left_out


@pytest.mark.parametrize("name", ["exif_altref_ascii", "exif_neg", "exif_txtorient", "exif_orient_rational"])
def test_odd_exif_does_not_make_a_picture_damaged(shared, name):
    content = (shared / f"cases/upscale/{name}.jpg").read_bytes()
    picture = decode_picture(content)
    with Image.open(io.BytesIO(content)) as opened:
        assert {picture.size, picture.size[::-1]} & {opened.size}
    assert picture.left_out in ((), ("EXIF, which is damaged",))
