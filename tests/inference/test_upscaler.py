import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.ranges import to_uint8
from sr_pipeline.inference.engines import choose_engine
from sr_pipeline.inference.engines.tensorflow_engine import TensorFlowEngine
from sr_pipeline.inference.folding import fold
from sr_pipeline.inference.models import open_model
from sr_pipeline.inference.upscaler import Upscaler
from tests.conftest import NEEDS_BFLOAT16, enlarged_by_keras

SMALLEST_TILE = 2 * (4 + 2 * 2 + 1 + 3) + 1  # of two blocks: what features and their enlargement see, on both sides


class Watched(TensorFlowEngine):
    """Notes the shapes that it is given."""

    def __init__(self, generator):
        super().__init__(generator, "float32")
        self.pictures, self.windows = [], []

    def features(self, lr):
        self.pictures.append(lr.shape[:2])
        return super().features(lr)

    def enlarge(self, features, window):
        self.windows.append(tuple(part.stop - part.start for part in window))
        return super().enlarge(features, window)

    def traces(self):
        return [f.experimental_get_tracing_count() for f in (self._features, self._enlarge)]


@pytest.fixture(scope="module")
def engine(random_model):
    return Watched(fold(random_model))


def random_picture(height, width, dtype=np.uint8):
    return np.random.default_rng(61 * height + width).integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, True)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 60), st.integers(1, 60), st.integers(SMALLEST_TILE + 2, 70))
def test_tiled_equals_untiled_equals_the_plain_model(engine, random_model, height, width, tile):
    image = random_picture(height, width)
    tiled, whole = (Upscaler(engine, size)(image).astype(int) for size in (tile, 200))
    assert whole.shape == (4 * height, 4 * width, 3)
    assert np.abs(whole - enlarged_by_keras(random_model, image)).max() <= 1
    assert np.abs(whole - tiled).max() <= 1


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 120), st.integers(1, 120), st.integers(SMALLEST_TILE + 5, 100))
def test_tiles_have_one_shape_and_not_more_pixels_than_allowed(engine, height, width, tile):
    engine.pictures, engine.windows = [], []
    progress = []
    Upscaler(engine, tile)(random_picture(height, width), progress=lambda *done_of: progress.append(done_of))
    assert len(set(engine.pictures)) == len(set(engine.windows)) == 1
    assert np.prod(engine.pictures[0]) <= tile**2
    assert np.prod(engine.windows[0]) <= max(tile // 4, 16) ** 2
    assert engine.traces() == [1, 1]
    assert [done for done, _ in progress] == sorted({done for done, _ in progress})
    assert progress[-1] == (progress[0][1], progress[0][1])


def test_tiles_waste_little(engine):
    """A picture a bit larger than a tile is cut in two, not in four."""
    engine.pictures = []
    Upscaler(engine, 100)(random_picture(90, 130))
    assert len(engine.pictures) == 2


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("bfloat16", marks=NEEDS_BFLOAT16),
        "onnx",
        "openvino",
        pytest.param("openvino-bfloat16", marks=NEEDS_BFLOAT16),
    ],
)
def test_engines_in_tiles(random_model, name):
    package = {"onnx": "onnxruntime"}.get(name, "openvino" if name.startswith("openvino") else "tensorflow")
    if not importlib.util.find_spec(package):  # not importorskip: OpenVINO would report that it is imported
        pytest.skip(f"needs {package}")
    whole, tiled = (Upscaler(choose_engine(fold(random_model), name), size) for size in (200, 30))
    image = random_picture(50, 70)
    assert np.abs(whole(image).astype(int) - tiled(image)).max() <= 1


def test_16_bits_and_floats(engine):
    """The same picture in other units; finer output than of 8 bits."""
    upscale, image = Upscaler(engine), random_picture(20, 30)
    exact = upscale(image / np.float32(255))
    fine = upscale(image.astype(np.uint16) * 257)
    assert exact.dtype == np.float32
    assert np.abs(fine / 65535 - exact).max() <= 0.6 / 65535
    assert np.abs(upscale(image) / 255 - exact).max() <= 0.501 / 255
    assert np.any(fine % 257)


def test_writing_to_a_file(engine, tmp_path):
    image = random_picture(40, 50)
    output = np.lib.format.open_memmap(tmp_path / "sr.npy", "w+", np.uint8, (160, 200, 3))
    assert Upscaler(engine, 30)(image, output) is output
    output.flush()
    assert np.array_equal(np.load(tmp_path / "sr.npy"), Upscaler(engine, 30)(image))


def test_an_output_of_another_size(engine):
    with pytest.raises(ValueError, match=r"cannot enlarge an image of shape \(8, 9, 3\) to one of \(8, 9, 3\)"):
        Upscaler(engine)(random_picture(8, 9), random_picture(8, 9))


def test_an_error_in_writing_is_not_lost(engine):
    output = np.zeros((160, 200, 3), np.uint8)
    output.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        Upscaler(engine)(random_picture(40, 50), output)


def test_tiles_narrower_than_what_is_seen(engine):
    smallest = 2 * engine.generator.reach + 1
    less = 0 if engine.generator.upsampling_blocks else 2 if engine.generator.refinement else 4
    assert smallest == SMALLEST_TILE - less
    with pytest.raises(UserError, match=f"tiles of {smallest - 1} pixels are too small .* at least {smallest}"):
        Upscaler(engine, smallest - 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory that a program took in /proc")
def test_memory_does_not_grow_with_the_picture(random_file):
    """Apart from the two pictures, 16 times the pixels take next to no more; their features alone would be 23 MB."""
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    program = """
import re, sys, numpy
from pathlib import Path
from sr_pipeline.inference.folding import read_folded
from sr_pipeline.imaging.ranges import to_uint8
from sr_pipeline.inference.engines import choose_engine
from sr_pipeline.inference.upscaler import Upscaler
image = numpy.ones((int(sys.argv[2]),) * 2 + (3,), numpy.uint8)
output = Upscaler(choose_engine(read_folded(sys.argv[1]), "onnx"), 250)(image)
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
print(peak - image.nbytes - output.nbytes)
"""
    small, large = (
        int(subprocess.check_output([sys.executable, "-c", program, random_file, str(edge)])) for edge in (300, 1200)
    )
    assert large - small < 12e6


def circles(height, width, dtype, colours):
    """A disc of the first colour on the second, each larger than what blurs at its edge."""
    peak = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    rows, columns = np.mgrid[:height, :width]
    inside = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (min(height, width) / 3) ** 2
    picture = np.where(inside[..., np.newaxis], *(np.array(colour) for colour in colours))
    return (picture * peak).astype(dtype), inside


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("colours", [((0, 0, 0), (1, 1, 1)), ((1, 0, 0), (0, 1, 1))])
@pytest.mark.parametrize("tile", [27, 200])
def test_pure_colours_stay_pure(engine, dtype, colours, tile):
    """Exactly, though these generators are untrained and make anything of them."""
    image, inside = circles(70, 90, dtype, colours)
    enlarged = Upscaler(engine, tile)(image)
    for part in (inside, ~inside):
        area = binary_erosion(part, np.ones((3, 3)), border_value=1).repeat(4, 0).repeat(4, 1)
        assert area.sum() > 10_000
        assert np.array_equal(enlarged[area], image.repeat(4, 0).repeat(4, 1)[area])


@pytest.mark.parametrize(
    "name",
    [
        "float32",
        "onnx",
        pytest.param("bfloat16", marks=NEEDS_BFLOAT16),
        "openvino",
        pytest.param("openvino-bfloat16", marks=NEEDS_BFLOAT16),
    ],
)
@pytest.mark.parametrize("model", ["perceptual", "fidelity"])
def test_pure_colours_stay_pure_in_all_engines(model, name):
    if name.startswith("openvino") and not importlib.util.find_spec("openvino"):
        pytest.skip("needs openvino")
    image, inside = circles(60, 60, np.uint8, ((1, 1, 1), (0, 0, 0)))
    enlarged = open_model(model, name)(image)
    for part, value in ((inside, 255), (~inside, 0)):
        area = binary_erosion(part, np.ones((3, 3)), border_value=1).repeat(4, 0).repeat(4, 1)
        assert np.all(enlarged[area] == value)


def test_what_is_almost_pure_is_left_to_the_generator(engine):
    """White of 254 does not become 255, nor what the generator makes of it 254."""
    image = np.full((30, 30, 3), 254, np.uint8)
    generated = engine.enlarge(engine.features(image / np.float32(255)), (slice(0, 30), slice(0, 30)))
    assert np.array_equal(Upscaler(engine)(image), to_uint8(generated))
