import io

import numpy as np
import pytest
import tifffile
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


def tiff(values, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_floating_numbers_have_no_range(kind):
    assert reason(tiff(np.ones((9, 9), kind))) == "unsupported mode F"
    assert reason(tiff(np.ones((9, 9, 3), kind), photometric="rgb")) == "unsupported mode F"


def test_whole_numbers_of_more_than_16_bits():
    assert reason(encoded(Image.fromarray(np.ones((9, 9), np.int32)), "TIFF")) == "unsupported mode I"
    assert reason(tiff(np.ones((9, 9, 3), np.uint32), photometric="rgb")) == "unsupported mode uint32"
    assert reason(tiff(np.ones((9, 9), np.uint64))) == "unsupported mode uint64"


@pytest.mark.parametrize("highest", [65535, 4095, 256])
def test_sixteen_bit_pgm(highest):
    ramp = np.linspace(0, highest, 256 * 4).reshape(4, 256).round().astype(">u2")
    expected = np.round(ramp.astype(np.float64) * 255 / highest).astype(np.uint8)
    raw = b"P5\n256 4\n%d\n" % highest + ramp.tobytes()
    plain = b"P2\n256 4\n%d\n" % highest + b" ".join(b"%d" % value for value in ramp.ravel())
    for content in (raw, plain):
        decoded = pixels(content)
        assert np.array_equal(decoded[..., 0], decoded[..., 2])
        assert np.abs(decoded[..., 0].astype(int) - expected).max() <= 1
        assert (decoded[..., 0] == expected).mean() > 0.99
    colour = pixels(b"P6\n256 4\n%d\n" % highest + np.repeat(ramp[..., None], 3, 2).tobytes())
    assert np.array_equal(colour, np.repeat(expected[..., None], 3, 2))


def test_sixteen_bit_tiff_is_rounded_and_means_what_it_says(photograph):
    wide = photograph.astype(np.uint16) * 257
    below = np.where(wide > 0, wide - 100, wide)  # still nearest to the same 8 bits
    for planar in ("contig", "separate"):
        planes = below if planar == "contig" else np.moveaxis(below, -1, 0)
        assert np.array_equal(pixels(tiff(planes, photometric="rgb", planarconfig=planar)), photograph)
    negative = tiff(65535 - wide[..., 0], photometric="miniswhite")
    assert np.array_equal(pixels(negative)[..., 1], photograph[..., 0])
    assert decode_rgb(negative).mode == "I;16"
    veiled = np.concatenate([wide, np.full_like(wide[..., :1], 65534)], 2)
    assert reason(tiff(veiled, photometric="rgb", extrasamples=["unassalpha"])) == "transparent"
    assert reason(tiff(wide, photometric="rgb"), max_pixels=451 * 300 - 1) == "decompression bomb"
    assert reason(tiff(wide, photometric="rgb")[:5000]) in ("undecodable", "truncated")


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
