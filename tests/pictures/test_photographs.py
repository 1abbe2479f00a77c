import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from sr_pipeline.pictures.photographs import UnusablePictureError, decode_rgb, read_rgb


def encoded(picture, file_format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def pixels(content):
    decoded = decode_rgb(content)
    assert decoded.picture.mode == "RGB"
    return np.asarray(decoded.picture)


@pytest.fixture
def picture(photograph):
    return Image.fromarray(photograph)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "JPEG2000"])
def test_lossless_formats_give_the_pixels(photograph, picture, file_format):
    options = {"lossless": True} if file_format == "WEBP" else {}
    assert np.array_equal(pixels(encoded(picture, file_format, **options)), photograph)


@pytest.mark.parametrize("file_format", ["JPEG", "AVIF"])
def test_lossy_formats_come_close(photograph, picture, file_format):
    difference = pixels(encoded(picture, file_format, quality=95)).astype(float) - photograph
    assert np.abs(difference).mean() < 4


def test_gray_and_bilevel(picture):
    gray = picture.convert("L")
    decoded = pixels(encoded(gray))
    assert np.array_equal(decoded, np.repeat(np.asarray(gray)[..., None], 3, axis=2))
    assert decode_rgb(encoded(gray)).mode == "L"
    assert set(np.unique(pixels(encoded(picture.convert("1"))))) == {0, 255}


def test_palette(picture):
    palette = picture.quantize(64)
    assert np.array_equal(pixels(encoded(palette)), np.asarray(palette.convert("RGB")))
    assert np.array_equal(pixels(encoded(palette, "GIF")), np.asarray(palette.convert("RGB")))


def test_sixteen_bit_gray_keeps_its_range():
    ramp = np.linspace(0, 65535, 256 * 4).reshape(4, 256).round().astype(np.uint16)
    decoded = pixels(encoded(Image.fromarray(ramp)))
    assert np.array_equal(decoded[..., 0], np.round(ramp / 257).astype(np.uint8))
    assert np.array_equal(decoded[..., 0], decoded[..., 2])
    big_endian = encoded(Image.fromarray(ramp), "TIFF")
    assert np.array_equal(pixels(big_endian), decoded)


def test_sixteen_bit_colour(photograph):
    """Pillow cannot write one, so this is a PNG put together by hand."""
    import struct
    import zlib

    wide = photograph.astype(">u2") * 257
    rows = b"".join(b"\0" + row.tobytes() for row in wide)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", photograph.shape[1], photograph.shape[0], 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert np.array_equal(pixels(png), photograph)


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk_looks_like_the_original(photograph, picture, file_format):
    """A JPEG stores CMYK inverted, as Adobe does; read plainly it would be a negative."""
    decoded = pixels(encoded(picture.convert("CMYK"), file_format))
    assert np.abs(decoded.astype(float) - photograph).mean() < 4


def test_a_broken_colour_profile_of_a_cmyk_picture_is_ignored(photograph, picture):
    content = encoded(picture.convert("CMYK"), "JPEG", icc_profile=b"no profile" * 20)
    assert np.abs(pixels(content).astype(float) - photograph).mean() < 4
    rgb_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encoded(picture.convert("CMYK"), "JPEG", icc_profile=rgb_profile)  # of the wrong colour space
    assert np.abs(pixels(content).astype(float) - photograph).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(photograph, picture, orientation):
    turned = {
        1: photograph,
        2: photograph[:, ::-1],
        3: photograph[::-1, ::-1],
        4: photograph[::-1],
        5: photograph.transpose(1, 0, 2),
        6: np.rot90(photograph, -1),
        7: photograph[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(photograph),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_rgb(encoded(picture, exif=exif))
    assert np.array_equal(np.asarray(decoded.picture), turned)
    assert decoded.stored_size == (451, 300)


def test_transparency(photograph, picture):
    opaque = picture.copy()
    opaque.putalpha(255)
    assert np.array_equal(pixels(encoded(opaque)), photograph)
    opaque.putpixel((5, 5), (1, 2, 3, 254))
    assert reason(encoded(opaque)) == "transparent"
    palette = picture.quantize(16)
    assert reason(encoded(palette, transparency=0)) == "transparent"


def reason(content, **options):
    with pytest.raises(UnusablePictureError) as caught:
        decode_rgb(content, **options)
    return caught.value.reason


def test_truncated_files(picture):
    for file_format in ("PNG", "JPEG"):
        content = encoded(picture, file_format)
        assert reason(content[: len(content) // 2]) == "truncated"


@pytest.mark.parametrize(
    "content", [b"", b"no picture", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"]
)
def test_what_is_no_picture(content):
    assert reason(content) == "undecodable"


def test_numbers_without_a_range():
    assert reason(encoded(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF")) == "unsupported mode F"


def test_decompression_bombs(picture):
    assert reason(encoded(picture), max_pixels=451 * 300 - 1) == "decompression bomb"
    assert decode_rgb(encoded(picture), max_pixels=451 * 300).picture.size == (451, 300)
    huge = bytearray(encoded(Image.new("1", (8, 8))))
    huge[16:24] = (60000).to_bytes(4, "big") * 2  # width and height in the PNG's header
    import zlib

    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    assert reason(bytes(huge)) == "decompression bomb"


def test_reading_from_disk(tmp_path, photograph, picture):
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(str(tmp_path / "a.png")), photograph)
    with pytest.raises(FileNotFoundError):
        read_rgb(str(tmp_path / "b.png"))
