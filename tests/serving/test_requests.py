"""What the served model takes and what it refuses."""

import base64
import contextlib
import io

import numpy as np
import png
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms

from sr_pipeline.errors import UserError
from sr_pipeline.inference import enlargement
from sr_pipeline.pictures.reading import decode_picture
from sr_pipeline.serving.requests import MIN_EDGE, enlarge_file, file_in


def file_of(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def nearest(picture, output, progress):
    output[:, :] = picture.repeat(4, 0).repeat(4, 1)


def enlarged(content):
    return Image.open(io.BytesIO(enlarge_file(content, nearest)))


def frames(kind):
    first, second = (Image.new("RGB", (40, 30), colour) for colour in ("red", "blue"))
    return file_of(first, kind, save_all=True, append_images=[second])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "MPO"])
def test_png_and_jpeg_give_png(photograph, kind):
    picture = Image.fromarray(photograph)
    answer = enlarged(frames("MPO") if kind == "MPO" else file_of(picture, kind))
    assert answer.format == "PNG"
    assert answer.size == ((160, 120) if kind == "MPO" else (4 * picture.width, 4 * picture.height))
    if kind == "PNG":
        assert np.array_equal(np.asarray(answer), photograph.repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_modes_stay_where_png_has_them(mode):
    picture = Image.fromarray(np.full((30, 40), 900, np.uint16)) if mode == "I;16" else Image.new(mode, (40, 30), 99)
    answer = enlarged(file_of(picture, "JPEG" if mode == "CMYK" else "PNG"))
    assert answer.mode == {"1": "L", "P": "RGB", "CMYK": "RGB"}.get(mode, mode)


def test_transparency_stays():
    pixels = np.full((30, 40, 4), 200, np.uint8)
    pixels[:10, :, 3] = 7
    assert np.array_equal(np.asarray(enlarged(file_of(Image.fromarray(pixels)))), pixels.repeat(4, 0).repeat(4, 1))


def test_16_bits_of_colour_stay():
    pixels = np.random.default_rng(0).integers(0, 65536, (30, 40, 3)).astype(np.uint16)
    buffer = io.BytesIO()
    png.Writer(40, 30, greyscale=False, bitdepth=16).write(buffer, pixels.reshape(30, -1).tolist())
    answer = decode_picture(enlarge_file(buffer.getvalue(), nearest))
    assert np.array_equal(answer.colour, pixels.repeat(4, 0).repeat(4, 1))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_profile_and_exif_stay_and_pixels_are_turned(kind):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation], exif[ExifTags.Base.Artist] = 6, "somebody"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    answer = enlarged(file_of(Image.new("RGB", (40, 30)), kind, exif=exif, icc_profile=profile))
    assert answer.size == (120, 160)
    assert answer.info["icc_profile"] == profile
    assert answer.getexif()[ExifTags.Base.Artist] == "somebody"
    assert ExifTags.Base.Orientation not in answer.getexif()


def test_the_answer_is_the_file_that_upscale_writes(tmp_path, photograph):
    picture = Image.fromarray(photograph[:40, :50])
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    picture.save(tmp_path / "small.png")
    enlargement.enlarge_file(tmp_path / "small.png", tmp_path / "large.png", nearest, enlargement.Options(), print)
    assert enlarge_file((tmp_path / "small.png").read_bytes(), nearest) == (tmp_path / "large.png").read_bytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_files_are_taken_as_they_are_and_in_base64(kind):
    file = file_of(Image.effect_noise((40, 30), 50), kind)
    text = base64.b64encode(file)
    in_lines = base64.encodebytes(file)
    for value in (file, text, text.decode(), in_lines, in_lines.decode(), np.array([text])[0], [text]):
        assert file_in(value) == file


@pytest.mark.parametrize("value", [b"a text", "a text", b"abc", "\u00fc", "\ud800"])
def test_what_is_no_base64_stays_as_it_is_and_is_no_picture(value):
    with pytest.raises(UserError, match="this is not a picture file"):
        enlarge_file(file_in(value), nearest)


@pytest.mark.parametrize("value", [None, 5, 2.5, [], ["a", "b"], {"b64": ""}])
def test_rows_without_a_picture(value):
    with pytest.raises(UserError, match="a row of the table holds no picture; send a PNG or JPEG file"):
        file_in(value)


def damaged_extras(file):
    """A PNG file with a text whose checksum is wrong, at which Pillow stops."""
    text = b"\0\0\0\3tEXta\0c" + bytes(4)
    return file[:33] + text + file[33:]


def test_a_picture_with_damaged_extras_is_enlarged_as_upscale_does():
    file = file_of(Image.effect_noise((40, 30), 50))
    assert enlarge_file(damaged_extras(file), nearest) == enlarge_file(file, nearest)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the picture is empty"),
        (b"a text", "this is not a picture file"),
        (file_of(Image.new("RGB", (40, 40)), "TIFF"), "the picture is a TIFF file; send a PNG or JPEG file"),
        (file_of(Image.new("RGB", (40, 40)), "WEBP"), "the picture is a WEBP file"),
        (file_of(Image.effect_noise((40, 40), 50))[:-400], "the picture is damaged or cut short; send a whole PNG"),
        (frames("GIF"), r"the picture is animated \(2 frames\)"),
        (frames("PNG"), r"the picture is animated \(2 frames\)"),
        (frames("WEBP"), r"the picture is animated \(2 frames\)"),
        (file_of(Image.new("RGB", (17, 40))), "the picture of 17x40 pixels is too small; send at least 24x24"),
        (file_of(Image.new("1", (23, 40))), "the picture of 23x40 pixels is too small"),
        (file_of(Image.new("1", (1001, 1000))), "1001x1000 pixels is too large; send at most 1 megapixel"),
        (file_of(Image.new("1", (3000, 2000))), "3000x2000 pixels is too large; send at most 1 megapixel"),
        (file_of(Image.new("1", (30_000, 30_000))), "the picture is too large; send at most 1 megapixel"),
    ],
)
def test_what_cannot_be_enlarged_gets_one_sentence(content, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        enlarge_file(content, nearest)
    assert "\n" not in str(error.value)


@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]))
@settings(max_examples=150)
def test_damaged_files_are_enlarged_or_refused(data, kind):
    noise = np.random.default_rng(0).integers(0, 256, (MIN_EDGE, 40, 3), np.uint8)
    content = bytearray(file_of(Image.fromarray(noise), kind))
    places = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(places, min_size=1, max_size=20)):
        content[place] = value
    content = content[: data.draw(st.integers(0, len(content)))]
    with contextlib.suppress(UserError):
        enlarged(bytes(content)).load()
