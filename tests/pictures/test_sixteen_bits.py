"""Files with 16 bits, read as the formats define them; ImageMagick is the independent reader where it is installed."""

import io
import shutil
import subprocess

import numpy as np
import png
import pytest
import tifffile

from sr_pipeline.errors import UserError
from sr_pipeline.pictures import sixteen_bits
from sr_pipeline.pictures.opening import turned
from sr_pipeline.pictures.reading import decode_picture, size_of

SAMPLES = np.random.default_rng(0).integers(0, 65536, (6, 9, 4)).astype(np.uint16)
RGB, GRAY, ALPHA = SAMPLES[..., :3], SAMPLES[..., 0], SAMPLES[..., 3]


def tiff(samples, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, samples, metadata=None, **options)
    return buffer.getvalue()


def test_white_is_zero():
    picture = decode_picture(tiff(GRAY, photometric="miniswhite"))
    assert np.array_equal(picture.colour, 65535 - GRAY)
    assert picture.alpha is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("samples", [GRAY, RGB], ids=["gray", "rgb"])
def test_all_orientations(samples, orientation):
    kind = "minisblack" if samples.ndim == 2 else "rgb"
    content = tiff(samples, photometric=kind, extratags=[(274, 3, 1, orientation, True)])
    assert np.array_equal(decode_picture(content).colour, turned(samples, orientation))


def test_colours_that_are_multiplied_with_alpha_are_divided():
    opacity = np.maximum(ALPHA, 600)[..., np.newaxis] / 65535
    multiplied = np.rint(RGB * opacity).astype(np.uint16)
    content = tiff(np.dstack([multiplied, np.maximum(ALPHA, 600)]), photometric="rgb", extrasamples=["assocalpha"])
    picture = decode_picture(content)
    assert np.array_equal(picture.alpha, np.maximum(ALPHA, 600))
    # A step of 16 bits becomes as many steps as it was made smaller.
    assert (np.abs(picture.colour.astype(int) - RGB) <= np.ceil(0.5 / opacity) + 1).all()


def test_straight_alpha_stays():
    picture = decode_picture(tiff(SAMPLES, photometric="rgb", extrasamples=["unassalpha"]))
    assert np.array_equal(picture.colour, RGB)
    assert np.array_equal(picture.alpha, ALPHA)
    gray = decode_picture(tiff(SAMPLES[..., [0, 3]], photometric="minisblack", extrasamples=["unassalpha"]))
    assert np.array_equal(gray.colour, GRAY)
    assert np.array_equal(gray.alpha, ALPHA)


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_a_channel_of_no_meaning_is_no_transparency(planar):
    samples = SAMPLES if planar == "contig" else np.moveaxis(SAMPLES, -1, 0).copy()
    content = tiff(samples, photometric="rgb", extrasamples=["unspecified"], planarconfig=planar)
    picture = decode_picture(content)
    assert np.array_equal(picture.colour, RGB)
    assert picture.alpha is None


def test_a_gray_that_counts_as_transparent():
    gray = GRAY.copy()
    gray[2, 3] = 12345
    buffer = io.BytesIO()
    png.Writer(9, 6, greyscale=True, bitdepth=16, transparent=12345).write(buffer, gray.tolist())
    picture = decode_picture(buffer.getvalue())
    assert np.array_equal(picture.colour, gray)
    assert np.array_equal(picture.alpha, np.where(gray == 12345, 0, 65535))


@pytest.mark.parametrize("highest", [1023, 65535])
def test_ppm(highest):
    values = RGB.astype(int) % (highest + 1)
    header = f"P6\n# a comment\n9 6\n{highest}\n".encode()
    picture = decode_picture(header + values.astype(">u2").tobytes())
    assert picture.colour.dtype == np.uint16
    assert np.array_equal(picture.colour, np.rint(values / highest * 65535))


def test_a_reduced_copy_is_no_second_page():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        file.write(RGB, photometric="rgb", metadata=None)
        file.write(RGB[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    assert np.array_equal(decode_picture(buffer.getvalue()).colour, RGB)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])  # Pillow does not open gray with alpha
def test_several_pages_are_refused(channels):
    buffer = io.BytesIO()
    pixels = np.dstack([RGB, RGB[..., :1]])[..., :channels].squeeze()
    kind = "rgb" if channels > 2 else "minisblack"
    with tifffile.TiffWriter(buffer) as file:
        for _ in range(2):
            file.write(pixels, photometric=kind, planarconfig="contig" if channels > 1 else None, metadata=None)
    with pytest.raises(UserError, match=r"has several pages \(2\)"):
        decode_picture(buffer.getvalue())


def test_floats_and_raw_files_are_named():
    with pytest.raises(UserError, match="has floating-point values; save it with 8 or 16 bits"):
        decode_picture(tiff(RGB.astype(np.float32) / 65535, photometric="rgb"))
    raw = tiff(RGB.astype(np.uint8), photometric="rgb", extratags=[(50706, 1, 4, (1, 4, 0, 0), True)])
    with pytest.raises(UserError, match="is a camera's raw file"):
        decode_picture(raw)


@pytest.mark.parametrize("reader", ["_read_tiff", "_read_ppm"])
def test_what_is_too_large_is_refused_by_its_header(monkeypatch, reader):
    monkeypatch.setattr("sr_pipeline.pictures.reading.MAX_PIXELS", 53)
    monkeypatch.setattr(sixteen_bits, reader, lambda *_: pytest.fail("decoded"))
    ppm = b"P6 9 6 65535\n" + RGB.astype(">u2").tobytes()
    content = ppm if reader == "_read_ppm" else tiff(SAMPLES[..., [0, 3]], photometric="minisblack", extrasamples=[2])
    assert size_of(content) == (9, 6)
    with pytest.raises(UserError, match=r"is too large \(9x6\)"):
        decode_picture(content)


@pytest.mark.parametrize("name", ["tif_miniswhite16", "scan16_6", "tif_spare16", "tif_la16", "tif_thumb"])
def test_as_imagemagick_reads_them(shared, name):
    program = shutil.which("magick") or shutil.which("convert")
    if program is None:
        pytest.skip("needs ImageMagick")
    file = shared / f"cases/upscale/{name}.tif"
    picture = decode_picture(file.read_bytes())
    kind = "gray" if picture.colour.ndim == 2 else "rgb"
    options = ["-auto-orient", "-alpha", "off", "-depth", "16", "-endian", "LSB", f"{kind}:-"]
    done = subprocess.run([program, f"{file}[0]", *options], capture_output=True, check=True)
    depth = np.iinfo(picture.colour.dtype).max
    read = np.frombuffer(done.stdout, "<u2").reshape(picture.colour.shape)
    assert np.abs(read / 65535 - picture.colour / depth).max() < 1 / 65535 + 1e-9


def test_the_shared_case_of_multiplied_colours(shared):
    """A leaf on nothing: its edge had been darkened to 38, 49, 37."""
    picture = decode_picture((shared / "cases/upscale/tif_assoc16.tif").read_bytes())
    edge = (picture.alpha > 0) & (picture.alpha < 65535)
    inside = picture.alpha == 65535
    assert np.abs(picture.colour[edge].mean(0) - picture.colour[inside].mean(0)).max() < 65535 * 0.1
