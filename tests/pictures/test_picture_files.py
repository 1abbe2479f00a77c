"""Pictures of all kinds, read and written again."""

import io

import numpy as np
import png
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.metadata import Metadata
from sr_pipeline.pictures.reading import decode_picture, read_picture
from sr_pipeline.pictures.writing import SUFFIXES, Format, check_fits, output_buffer, write_picture

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def file_of(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def deep_png(pixels):
    """A 16-bit PNG of (h, w, channels)."""
    height, width, channels = pixels.shape
    buffer = io.BytesIO()
    writer = png.Writer(width, height, greyscale=channels <= 2, alpha=channels in (2, 4), bitdepth=16)
    writer.write(buffer, pixels.reshape(height, -1).tolist())
    return buffer.getvalue()


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def written(tmp_path, pixels, name="png", metadata=Metadata(), quality=95):  # noqa: B008
    path = tmp_path / f"picture{SUFFIXES[name]}"
    write_picture(path, pixels, Format(name, quality), metadata)
    return path


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("name", ["png", "tiff"])
def test_every_kind_comes_back_as_it_was(tmp_path, channels, dtype, name):
    pixels = noise(13, 17, channels, dtype=dtype)
    picture = read_picture(written(tmp_path, pixels, name))
    assert picture.colour.dtype == dtype
    assert np.array_equal(picture.colour, pixels[..., 0] if channels <= 2 else pixels[..., :3])
    assert (picture.alpha is None) == (channels in (1, 3))
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha, pixels[..., -1])


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4)),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    seed=st.integers(0, 9),
)
@settings(max_examples=60)
def test_png_files_are_valid_whatever_the_size(tmp_path_factory, shape, dtype, seed):
    pixels = noise(*shape, dtype=dtype, seed=seed)
    path = written(tmp_path_factory.mktemp("png"), pixels)
    width, height, rows, facts = png.Reader(filename=str(path)).asDirect()  # another's reader checks all checksums
    assert (height, width, facts["planes"], facts["bitdepth"]) == (*shape, 8 * pixels.itemsize)
    assert np.array_equal(np.vstack([np.asarray(row) for row in rows]).reshape(shape), pixels)


def test_png_of_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("sr_pipeline.pictures.writing._BLOCK", 1000)
    pixels = noise(97, 31, 3)
    assert np.array_equal(np.asarray(Image.open(written(tmp_path, pixels))), pixels)


def test_photographs_are_packed_about_as_well_as_by_pillow(tmp_path, photograph):
    ours = written(tmp_path, photograph).stat().st_size
    assert ours < 1.05 * len(file_of(Image.fromarray(photograph)))


@pytest.mark.parametrize("name", ["jpeg", "webp", "avif"])
def test_formats_with_losses(tmp_path, photograph, name):
    with output_buffer((*photograph.shape[:2], 3), np.uint8, Format(name, 95), tmp_path) as pixels:
        pixels[..., :3] = photograph
        picture = read_picture(written(tmp_path, pixels, name))
    assert picture.colour.shape == photograph.shape
    assert np.abs(picture.colour.astype(float) - photograph).mean() < 3


@pytest.mark.parametrize("name", list(SUFFIXES))
@pytest.mark.parametrize("on_disk", [False, True])
def test_profile_and_exif_survive(tmp_path, name, on_disk, monkeypatch):
    monkeypatch.setattr("sr_pipeline.pictures.writing._IN_MEMORY", 0 if on_disk else 10**9)
    exif = Image.Exif()
    exif[0x010F] = "Maker"  # Make
    exif[0x0112] = 6  # Orientation
    exif.get_ifd(0x8769)[0x9003] = "2026:11:25 12:00:00"  # DateTimeOriginal
    exif.get_ifd(0x8769)[0xA002] = 30  # ExifImageWidth
    content = file_of(Image.fromarray(noise(20, 30, 3)), "JPEG", icc_profile=PROFILE, exif=exif, dpi=(72, 72))
    picture = decode_picture(content)
    with output_buffer((*picture.colour.shape[:2], 3), np.uint8, Format(name, 95), tmp_path) as pixels:
        pixels[..., :3] = picture.colour
        result = Image.open(written(tmp_path, pixels, name, picture.metadata))
    assert result.size == (20, 30)  # turned by 90 degrees
    assert result.info["icc_profile"] == PROFILE
    read = result.getexif()
    assert read[0x010F] == "Maker"
    assert read.get(0x0112, 1) == 1
    assert read.get_ifd(0x8769)[0x9003] == "2026:11:25 12:00:00"
    assert read.get_ifd(0x8769)[0xA002] == 20
    if name in ("png", "jpeg", "tiff"):
        assert result.info["dpi"] == pytest.approx((72, 72), abs=0.1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_pillow_does(orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(Image.fromarray(noise(20, 30, 3)), exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    assert np.array_equal(decode_picture(content).colour, expected)


def test_16_bits_of_colour(tmp_path):
    for channels in (2, 3, 4):
        pixels = noise(9, 11, channels, dtype=np.uint16)
        picture = decode_picture(deep_png(pixels))
        assert np.array_equal(picture.colour, pixels[..., 0] if channels == 2 else pixels[..., :3])
    planes = noise(3, 9, 11, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    assert np.array_equal(read_picture(tmp_path / "a.tif").colour, np.moveaxis(planes, 0, -1))


@pytest.mark.parametrize(
    ("mode", "kind", "gray"),
    [("1", "PNG", True), ("L", "BMP", True), ("P", "GIF", False), ("CMYK", "JPEG", False), ("RGB", "JPEG2000", False)],
)
def test_other_modes(mode, kind, gray):
    picture = decode_picture(file_of(Image.fromarray(noise(24, 30, 3)).convert(mode), kind))
    assert picture.colour.ndim == (2 if gray else 3)
    assert picture.alpha is None


def test_transparent_palettes_and_opaque_alpha():
    palette = Image.fromarray(noise(8, 8, 3)).convert("P")
    picture = decode_picture(file_of(palette, transparency=palette.getpixel((0, 0))))
    assert picture.alpha is not None
    assert picture.alpha[0, 0] == 0
    opaque = Image.fromarray(noise(8, 8, 3)).convert("RGBA")
    assert decode_picture(file_of(opaque)).alpha is None


def animation(kind):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    return file_of(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a text", "cannot be read as an image"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "is a HEIC picture"),
        (file_of(Image.new("RGB", (64, 64)))[:60], "is damaged or cut short"),
        (file_of(Image.fromarray(noise(64, 64, 3)), "JPEG")[:800], "is damaged or cut short"),
        (animation("GIF"), r"is animated or has several pages \(2\)"),
        (animation("PNG"), "is animated"),
        (animation("WEBP"), "is animated"),
        (animation("TIFF"), "is animated or has several pages"),
        (file_of(Image.new("1", (6000, 5000))), r"is too large \(6000x5000\); at most 25 megapixels"),
        (file_of(Image.new("1", (30_000, 30_000))), "is too large"),
        (file_of(Image.fromarray(np.full((4, 4), 1.5, np.float32)), "TIFF"), "has floating-point values"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(content, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        decode_picture(content)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "size", "dtype", "transparent", "sentence"),
    [
        ("jpeg", (10, 10), np.uint8, True, "is transparent, which JPEG cannot keep"),
        ("webp", (10, 10), np.uint16, False, "has 16 bits a channel, which WEBP cannot keep"),
        ("webp", (20_000, 10), np.uint8, False, "becomes 20000x10, more than WEBP can hold"),
        ("jpeg", (70_000, 10), np.uint8, False, "more than JPEG can hold"),
    ],
)
def test_formats_that_cannot_hold_a_picture(name, size, dtype, transparent, sentence):
    with pytest.raises(UserError, match=sentence):
        check_fits(Format(name, 95), size, dtype, transparent=transparent)
    check_fits(Format("png", 95), size, dtype, transparent=transparent)
