"""What a file says beside its pixels, from every format to every format."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, IptcImagePlugin

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.colour_profiles import Chunk, for_gray, profile_of
from sr_pipeline.pictures.exif import DamagedExifError, Directory, Field, block_of, tags_of
from sr_pipeline.pictures.metadata import Metadata, iptc_resource
from sr_pipeline.pictures.png_texts import Text, chunk, raw_profile
from sr_pipeline.pictures.reading import decode_picture
from sr_pipeline.pictures.writing import SUFFIXES, Format, check_fits, write_picture

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY_PROFILE = for_gray(profile_of((Chunk(b"cICP", bytes([1, 8, 0, 1])),)))
NAME = "© 2024 Jürgen Müller, 山田".encode() + b"\0"
XMP = "<x:xmpmeta xmlns:x='adobe:ns:meta/'>Jürgen</x:xmpmeta>".encode()
IPTC = b"\x1c\x02\x19\x00\x07holiday\x1c\x02\x50\x00\x07M\xfcller"  # keyword and by-line, in Latin-1
EXIF = block_of(
    Directory(
        {315: Field(2, len(NAME), NAME)},
        {34665: Directory({40962: Field(4, 1, struct.pack(">I", 6)), 37510: Field(7, 13, b"ASCII\0\0\0H\xe4use")}, {})},
    ),
    ">",
)
FULL = Metadata(PROFILE, EXIF, (300, 300), XMP, IPTC, (b"one", "zwölf".encode()))
PROMPT = Text(b"tEXt", b"parameters\0a red house on a green hill")
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)


def written(folder, name, metadata, pixels=PIXELS):
    """The file, and what it could not hold."""
    path = folder / f"picture{SUFFIXES[name]}"
    fourth = pixels[..., :1] if name == "jpeg" and pixels.shape[2] == 3 else pixels[..., :0]
    left_out = write_picture(path, np.concatenate([pixels, fourth], axis=2), Format(name, 95), metadata)
    return path, left_out


def read(path):
    return decode_picture(path.read_bytes()).metadata


@pytest.mark.parametrize("target", list(SUFFIXES))
@pytest.mark.parametrize("source", list(SUFFIXES))
def test_from_every_format_to_every_format(tmp_path, source, target):
    first = read(written(tmp_path, source, FULL)[0])
    path, left_out = written(tmp_path, target, first)
    second = read(path)
    assert (second.icc_profile, second.xmp) == (PROFILE, XMP)
    tags = tags_of(second.exif)
    assert tags.fields[315].content == NAME
    assert tags.children[34665].fields[37510].content == b"ASCII\0\0\0H\xe4use"
    assert tags.children[34665].fields[40962].content == struct.pack(">I", 6)
    if {source, target} <= {"png", "jpeg", "tiff"}:
        assert second.iptc == IPTC
        assert second.dpi == pytest.approx((300, 300), abs=0.01)
    assert (second.iptc is None) == (not {source, target} <= {"png", "jpeg", "tiff"})
    if source == target == "jpeg":
        assert second.comments == FULL.comments
    expected = {
        ("jpeg", "png"): [],
        ("jpeg", "jpeg"): [],
        ("png", "png"): [],
        ("jpeg", "tiff"): ["comment, which TIFF cannot hold"],
        ("jpeg", "webp"): ["IPTC data, which WEBP cannot hold", "comment, which WEBP cannot hold"],
        ("png", "jpeg"): ["texts, which JPEG cannot hold"],
        ("tiff", "avif"): ["IPTC data, which AVIF cannot hold"],
    }
    if (source, target) in expected:
        assert left_out == expected[source, target]


@pytest.mark.parametrize("name", list(SUFFIXES))
def test_other_readers_find_it(tmp_path, name):
    result = Image.open(written(tmp_path, name, FULL)[0])
    result.load()
    assert result.info["icc_profile"] == PROFILE
    if name != "tiff":
        assert NAME in result.info["exif"]
    if name == "tiff":
        with tifffile.TiffFile(tmp_path / "picture.tif") as file:
            tags = file.pages.first.tags
            assert (tags.valueof(315), tags.valueof(700), tags.valueof(33723)) == (NAME[:-1].decode(), XMP, IPTC)
            assert tags.valueof(34665)["PixelXDimension"] == 6
            assert np.array_equal(file.pages.first.asarray(), PIXELS)
    elif name == "png":
        assert result.text["Comment"] == "zwölf"
        assert result.info["xmp"] == XMP
    else:
        assert result.info["xmp"] == XMP
    if name in ("jpeg", "tiff"):
        assert IptcImagePlugin.getiptcinfo(result) == {(2, 25): b"holiday", (2, 80): b"M\xfcller"}


def test_comments_and_texts(tmp_path):
    texts = (PROMPT, Text(b"iTXt", "Titel\0\0\0de\0\0Häuser".encode()), Text(b"zTXt", b"a\0\0" + zlib.compress(b"b")))
    path, left_out = written(tmp_path, "png", Metadata(texts=texts, comments=(b"M\xfcller", b"plain", b"two\r\nlines")))
    assert read(path).texts == (
        *texts,
        Text(b"iTXt", "Comment\0\0\0\0\0Müller".encode()),
        Text(b"tEXt", b"Comment\0plain"),
        Text(b"tEXt", b"Comment\0two\nlines"),
    )
    assert left_out == []
    assert Image.open(path).text["parameters"] == "a red house on a green hill"


def test_a_text_that_was_cut_is_none():
    packed = zlib.compress(XMP)
    assert [Text(b"zTXt", b"a\0\0" + data).content() for data in (packed, packed[:-4], b"")] == [XMP, None, None]


@given(
    st.binary(min_size=1, max_size=200),
    st.lists(st.binary(max_size=60), max_size=3),
    st.sampled_from(list(SUFFIXES)),
    st.binary(max_size=60),
)
def test_any_bytes_survive_or_are_named(tmp_path_factory, content, comments, name, exif):
    """Whatever the metadata is, a file comes out with the pixels; what is not in it is said."""
    folder = tmp_path_factory.mktemp("any")
    metadata = Metadata(exif=b"II*\0" + exif, xmp=content, iptc=content, comments=tuple(comments))
    path, left_out = written(folder, name, metadata)
    result = decode_picture(path.read_bytes())
    assert result.size == (6, 8)
    assert result.left_out == ()
    said = " ".join(left_out)
    assert result.metadata.xmp == content or "XMP" in said or b"Orientation" in content
    assert result.metadata.iptc == content or "IPTC" in said
    try:
        tags_of(metadata.exif)
    except DamagedExifError:
        assert "EXIF" in said
    if name == "jpeg":
        assert result.metadata.comments == tuple(comments)


def test_what_is_too_long_for_jpeg(tmp_path):
    long = b"x" * 70_000
    notes = block_of(Directory({315: Field(2, 70_000, long)}, {}), "<")
    path, left_out = written(tmp_path, "jpeg", Metadata(long, notes, None, long, long, (long, b"short")))
    assert [words.partition(",")[0] for words in left_out] == ["EXIF", "XMP", "IPTC data", "colour profile", "comment"]
    assert read(path) == Metadata(comments=(b"short",))
    path, left_out = written(tmp_path, "png", Metadata(None, notes, None, long, long))
    assert left_out == []
    assert read(path)._replace(texts=()) == Metadata(None, notes, None, long, long)


@pytest.mark.parametrize("longer", [0, 1])
def test_the_longest_that_jpeg_holds(tmp_path, longer):
    """A byte more is left out, and no error of the encoder."""
    exif = block_of(Directory({315: Field(2, 4, b"name")}, {}), "<").ljust(65_533 - 6 + longer, b"\0")
    xmp, iptc, comment = b"x" * (65_533 - 29 + longer), b"i" * (65_506 + longer), b"c" * (65_533 + longer)
    metadata = Metadata(exif=exif, xmp=xmp, iptc=iptc, comments=(comment,))
    path, left_out = written(tmp_path, "jpeg", metadata)
    too_long = ["EXIF", "XMP", "IPTC data", "comment"] if longer else []
    assert [words.partition(",")[0] for words in left_out] == too_long
    assert read(path) == (Metadata() if longer else metadata)


def test_older_png_files_hold_metadata_in_texts(tmp_path):
    """As ImageMagick wrote them before PNG had a chunk for EXIF."""
    texts = [
        raw_profile(b"exif", b"Exif\0\0" + EXIF),
        raw_profile(b"8bim", b"8BIM\x04\x21\0\0\0\0\0\x03odd\0" + iptc_resource(IPTC)),
        raw_profile(b"xmp", XMP),
    ]
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    content = buffer.getvalue()
    metadata = decode_picture(content[:33] + b"".join(chunk(*text) for text in texts) + content[33:]).metadata
    assert (metadata.exif, metadata.iptc, metadata.xmp, metadata.texts) == (EXIF, IPTC, XMP, ())


def test_texts_about_the_old_picture_are_left_out(tmp_path):
    old = (Text(b"tEXt", b"Thumb::Image::Width\x0064"), Text(b"tEXt", b"exif:PixelXDimension\x0064"))
    path, _ = written(tmp_path, "png", Metadata(texts=(PROMPT,)))
    content = path.read_bytes()
    content = content[:33] + b"".join(chunk(*text) for text in old) + content[33:]
    assert decode_picture(content).metadata.texts == (PROMPT,)


@pytest.mark.parametrize("name", ["webp", "avif", "png", "jpeg", "tiff"])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("profile", [PROFILE, GRAY_PROFILE], ids=["rgb", "gray"])
def test_a_profile_is_of_the_kind_of_the_pixels(tmp_path, name, channels, profile):
    """Browsers ignore one of the other kind, and PNG forbids it (third edition, 11.3.2.3)."""
    if channels == 2 and name == "jpeg":
        return  # JPEG has no transparency
    path, _ = written(tmp_path, name, Metadata(profile), PIXELS[..., :channels])
    stored = Image.open(path)
    gray = stored.mode in ("L", "LA")
    space = stored.info["icc_profile"][16:20] if "icc_profile" in stored.info else None
    if profile is GRAY_PROFILE or name not in ("jpeg", "tiff", "avif"):
        assert space == (b"GRAY" if gray else b"RGB ")
    else:
        assert stored.info["icc_profile"] == PROFILE


def test_profiles_of_other_colours_are_left_out(tmp_path):
    cmyk = bytearray(PROFILE)
    cmyk[16:20] = b"CMYK"
    path, left_out = written(tmp_path, "jpeg", Metadata(bytes(cmyk)))
    assert left_out == ["colour profile, which does not describe RGB"]
    assert read(path).icc_profile is None


P3 = (Chunk(b"cICP", b"\x0c\r\0\1"),)
LINEAR = (Chunk(b"gAMA", struct.pack(">I", 100_000)),)


@pytest.mark.parametrize("colours", [P3, LINEAR], ids=["cicp", "gamma"])
@pytest.mark.parametrize("name", list(SUFFIXES))
def test_colours_stated_without_a_profile(tmp_path, colours, name):
    metadata = read(written(tmp_path, name, Metadata(colours=colours))[0])
    if name == "png":
        assert metadata == Metadata(colours=colours)
    else:
        assert metadata == Metadata(profile_of(colours))


def test_hdr_can_only_be_stated_by_png(tmp_path):
    hdr = Metadata(colours=(Chunk(b"cICP", bytes([9, 16, 0, 1])),))
    assert read(written(tmp_path, "png", hdr)[0]) == hdr
    with pytest.raises(UserError, match=r"^is HDR .* JPEG cannot state; choose the format png$"):
        check_fits(Format("jpeg", 95), (6, 8), np.uint8, transparent=False, metadata=hdr)
    check_fits(Format("jpeg", 95), (6, 8), np.uint8, transparent=False, metadata=hdr._replace(icc_profile=PROFILE))


def test_codes_of_avif(tmp_path):
    path, _ = written(tmp_path, "avif", Metadata())
    content = path.read_bytes()
    position = content.index(b"nclx") + 4
    assert read(path).colours == ()  # sRGB
    assert decode_picture(content[:position] + b"\0\x0c\0\r" + content[position + 4 :]).metadata.colours == P3


def test_a_profile_rules_over_the_codes_of_avif(tmp_path):
    path, _ = written(tmp_path, "avif", Metadata(PROFILE))
    content = path.read_bytes()
    position = content.index(b"nclx") + 4
    stated = decode_picture(content[:position] + b"\0\x0c\0\r" + content[position + 4 :]).metadata
    assert (stated.icc_profile, stated.colours) == (PROFILE, ())


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("LAB", "TIFF")])
def test_the_profile_of_colours_that_are_converted_is_not_kept(mode, name):
    """They are sRGB from then on."""
    buffer = io.BytesIO()
    Image.new(mode, (3, 2)).save(buffer, name, icc_profile=PROFILE)
    assert Image.open(buffer).info["icc_profile"] == PROFILE
    assert decode_picture(buffer.getvalue()).metadata.icc_profile is None


def test_an_image_resource_takes_an_even_number_of_bytes():
    assert len(iptc_resource(b"odd")) == len(iptc_resource(b"even"))


def test_no_resolution_stays_none(tmp_path):
    """Where a file states none, some readers say 1 or 72 pixels per inch."""
    for mode, name in (("RGB", "TIFF"), ("CMYK", "TIFF"), ("RGB", "JPEG")):
        buffer = io.BytesIO()
        exif = Image.Exif()
        exif[315] = "A. Nonymous"
        Image.new(mode, (3, 2)).save(buffer, name, exif=exif)
        assert decode_picture(buffer.getvalue()).metadata.dpi is None
    path, _ = written(tmp_path, "jpeg", Metadata())
    assert Image.open(path).info["jfif_unit"] == 0
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2)).save(buffer, "PNG", dpi=(0, 0))
    assert decode_picture(buffer.getvalue()).metadata.dpi is None


@pytest.mark.parametrize("name", list(SUFFIXES))
def test_the_shared_cases(shared, tmp_path, name):
    folder = shared / "cases/upscale"
    metadata = decode_picture((folder / "exif_dcf_adobe.jpg").read_bytes()).metadata
    tags = tags_of(read(written(tmp_path, name, metadata)[0]).exif)
    assert tags.fields[33432].content == "© 2024 Jürgen Müller".encode() + b"\0"
    assert tags.fields[315].content == "山田".encode() + b"\0"
    full = decode_picture((folder / "meta_full.jpg").read_bytes()).metadata
    result = read(written(tmp_path, name, full)[0])
    assert result.xmp == full.xmp
    assert (result.iptc == full.iptc) == (name in ("png", "jpeg", "tiff"))
    assert (result.comments == (b"own comment",)) == (name == "jpeg")


def test_shared_prompts_and_resolutions(shared, tmp_path):
    prompts = decode_picture((shared / "cases/upscale/meta_text.png").read_bytes()).metadata
    assert len(prompts.texts) == 3
    assert read(written(tmp_path, "png", prompts)[0]).texts == prompts.texts
    assert decode_picture((shared / "cases/upscale/cmyk.tif").read_bytes()).metadata.dpi is None


@pytest.mark.parametrize("name", ["exif_altref_ascii", "exif_neg", "exif_txtorient", "exif_brimful"])
def test_odd_exif_is_kept(shared, tmp_path, name):
    metadata = decode_picture((shared / f"cases/upscale/{name}.jpg").read_bytes()).metadata
    path, left_out = written(tmp_path, "jpeg", metadata)
    assert left_out == []
    kept = {tag: field for tag, field in tags_of(metadata.exif).fields.items() if tag != 274}
    if kept:
        assert tags_of(read(path).exif).fields == kept
