"""What the served model takes and what it refuses."""

import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.serving.requests import MIN_EDGE, enlarge_file


def file_of(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def twice(picture):
    return picture.repeat(2, 0).repeat(2, 1)


def enlarged(content):
    return Image.open(io.BytesIO(enlarge_file(content, twice)))


def frames(kind):
    first, second = (Image.new("RGB", (40, 30), colour) for colour in ("red", "blue"))
    return file_of(first, kind, save_all=True, append_images=[second])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "MPO"])
def test_png_and_jpeg_give_png(photograph, kind):
    picture = Image.fromarray(photograph)
    answer = enlarged(frames("MPO") if kind == "MPO" else file_of(picture, kind))
    assert answer.format == "PNG"
    assert answer.size == ((80, 60) if kind == "MPO" else (2 * picture.width, 2 * picture.height))
    if kind == "PNG":
        assert np.array_equal(np.asarray(answer), twice(photograph))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "I;16"])
def test_other_modes_are_read_as_rgb(mode):
    picture = Image.fromarray(np.full((30, 40), 9, np.uint16)) if mode == "I;16" else Image.new(mode, (40, 30), 255)
    if mode == "RGBA":
        picture.putalpha(255)
    assert enlarged(file_of(picture, "JPEG" if mode == "CMYK" else "PNG")).mode == "RGB"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the picture is empty"),
        (b"a text", "this is no picture file"),
        (file_of(Image.new("RGB", (40, 40)), "TIFF"), "this is no picture file"),
        (file_of(Image.new("RGB", (40, 40)), "WEBP"), "the picture is a WEBP file"),
        (file_of(Image.new("RGBA", (40, 40))), r"no picture that can be enlarged \(transparent\)"),
        (frames("GIF"), r"the picture is animated \(2 frames\)"),
        (frames("PNG"), r"the picture is animated \(2 frames\)"),
        (frames("WEBP"), r"the picture is animated \(2 frames\)"),
        (file_of(Image.new("RGB", (17, 40))), "the picture of 17x40 pixels is too small; send at least 24x24"),
        (file_of(Image.new("1", (3000, 2000))), "3000x2000 pixels is too large; send at most 1 megapixel"),
        (file_of(Image.new("1", (30_000, 30_000))), "the picture is too large; send at most 1 megapixel"),
    ],
)
def test_what_cannot_be_enlarged_gets_one_sentence(content, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        enlarge_file(content, twice)
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
