import numpy as np
import pytest
from PIL import Image

from sr_pipeline.imaging.resample import crop_to_multiple, downsample, enlarge
from sr_pipeline.pictures.photographs import read_rgb


def test_downsampling_is_antialiased():
    """A checkerboard of single pixels is grey from afar; without antialiasing it would stay black and white."""
    checkerboard = np.indices((32, 32)).sum(0) % 2 * 255
    image = np.repeat(checkerboard[..., np.newaxis], 3, axis=2).astype(np.uint8)
    inner = downsample(image, 4)[2:-2, 2:-2]
    assert np.all(np.abs(inner.astype(int) - 127) <= 2)


def test_downsampling_needs_aligned_sizes(photograph):
    with pytest.raises(ValueError, match=r"451x300 pixels is not a multiple of 4"):
        downsample(photograph, 4)


def test_enlarging_returns_to_the_size(photograph):
    image = crop_to_multiple(photograph, 4)
    low = downsample(image, 4)
    assert image.shape == (300, 448, 3)
    assert low.shape == (75, 112, 3)
    assert enlarge(low, 4, "bicubic").shape == image.shape
    assert np.array_equal(enlarge(low, 4, "nearest")[::4, ::4], low)


def test_pictures_are_turned_upright_and_made_rgb(tmp_path):
    gray = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = gray.getexif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    gray.save(tmp_path / "turned.png", exif=exif)
    image = read_rgb(tmp_path / "turned.png")
    assert image.shape == (3, 2, 3)
    assert image[:, :, 0].tolist() == [[3, 0], [4, 1], [5, 2]]
