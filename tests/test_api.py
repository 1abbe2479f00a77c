"""The Python API."""

import doctest
import importlib.util
import os
import pydoc
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import sr_pipeline
from sr_pipeline import api
from tests.conftest import PATIENCE, REPOSITORY

ENGINES = ["onnx", "openvino", "float32"]


@pytest.fixture(scope="module")
def model():
    return sr_pipeline.load_model("fidelity", engine="onnx", tile=64)


@pytest.fixture
def rgb(photograph):
    return photograph[100:130, 150:190]


def program(text):
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_import_is_quick_and_loads_nothing():
    text = (
        "import sys, time; before = set(sys.modules); started = time.perf_counter(); import sr_pipeline\n"
        "print(time.perf_counter() - started, *set(sys.modules) - before)"
    )
    seconds, *modules = min((program(text) for _ in range(5)), key=lambda words: float(words[0]))
    assert float(seconds) < 0.05
    assert modules == ["sr_pipeline"]


def test_names_and_help():
    assert dir(sr_pipeline) == sorted([*sr_pipeline.__all__, "__version__"])
    assert {name: getattr(sr_pipeline, name) for name in sr_pipeline.__all__} == {
        name: getattr(api, name) for name in api.__all__
    }
    page = pydoc.render_doc("sr_pipeline", renderer=pydoc.plaintext)
    page = re.sub(r"\(\s+", "(", page)  # newer Pythons give each parameter a line
    for words in ("upscale(picture", "load_model(model", "upscale_file(", "TypeError: if ``picture`` is neither"):
        assert words in page
    with pytest.raises(AttributeError, match="module 'sr_pipeline' has no attribute 'upscael'"):
        _ = sr_pipeline.upscael


@pytest.mark.slow
def test_type_checkers_see_the_names(tmp_path):
    (tmp_path / "user.py").write_text(
        "import numpy as np\nimport sr_pipeline\nfrom PIL import Image\n"
        "reveal_type(sr_pipeline.load_model('fidelity'))\n"
        "reveal_type(sr_pipeline.upscale(Image.new('L', (3, 3))))\n"
        "reveal_type(sr_pipeline.upscale(np.zeros((3, 3), np.uint8)))\n"
        "sr_pipeline.upscael\n"
    )
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path), "--follow-imports=silent", "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE)
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert lines[0] == 'note: Revealed type is "sr_pipeline.inference.upscaler.Upscaler"'
    assert lines[1] == 'note: Revealed type is "PIL.Image.Image"'
    assert "ndarray" in lines[2]
    assert lines[3].startswith('error: Module has no attribute "upscael"')


@pytest.mark.parametrize("module", [sr_pipeline, api], ids=["package", "functions"])
def test_the_examples_run(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted >= 4
    assert outcome.failed == 0


def test_the_examples_of_the_page_run(tmp_path, monkeypatch, rgb):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(rgb).save("photo.jpg")
    page = (REPOSITORY / "docs/python.md").read_text()
    examples = page.split("```python\n")[1:]
    assert examples
    scope = {}
    for example in examples:
        exec(example.partition("```")[0], scope)
    assert Image.open("large/photo.png").size == (4 * rgb.shape[1], 4 * rgb.shape[0])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_arrays_come_back_as_they_are(model, rgb, dtype, channels):
    dtype = np.dtype(dtype)
    peak = np.iinfo(dtype).max if dtype.kind == "u" else 1
    opaque = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    picture = (opaque[..., 0] if channels == () else opaque[..., : channels[0]]) / 255 * peak
    large = sr_pipeline.upscale(picture.astype(dtype), model)
    assert large.dtype == dtype.newbyteorder("=")
    assert large.shape == (4 * rgb.shape[0], 4 * rgb.shape[1], *channels)
    assert 0 <= large.min() <= large.max() <= peak
    reduced = large.astype(float).reshape(rgb.shape[0], 4, rgb.shape[1], 4, -1).mean((1, 3))
    assert np.abs(reduced / peak - picture.reshape(reduced.shape) / peak).mean() < 0.02
    if channels == (4,):
        assert (large[..., 3] == peak).all()


def test_alpha_is_enlarged(model, rgb):
    alpha = np.zeros((*rgb.shape[:2], 1), np.uint8)
    alpha[:, 20:] = 255
    for scale in (1, np.float32(1 / 255)):
        large = sr_pipeline.upscale(np.dstack([rgb, alpha]) * scale, model)[..., 3] / scale
        assert large[:, :60].max() < 60
        assert large[:, 100:].min() > 195


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [(mode, mode) for mode in ("L", "LA", "RGB", "RGBA", "I;16", "I", "YCbCr")]
    + [("1", "L"), ("P", "RGB"), ("PA", "RGBA"), ("CMYK", "RGB"), ("LAB", "RGB"), ("RGBX", "RGB")],
)
def test_pillow_pictures_keep_their_mode(model, rgb, mode, becomes):
    picture = Image.fromarray(rgb)
    if mode in ("I;16", "I"):
        picture = Image.fromarray(rgb[..., 0].astype(np.uint16 if mode == "I;16" else np.int32) * 257)
    elif mode == "LAB":
        picture = Image.new("LAB", picture.size)
    elif mode == "PA":
        picture = picture.convert("P").convert("PA")
    else:
        picture = picture.convert(mode)
    large = sr_pipeline.upscale(picture, model)
    assert (large.mode, large.size) == (becomes, (160, 120))


def test_pillow_pictures_keep_what_describes_them(model, rgb):
    picture = Image.fromarray(rgb)
    picture.info.update(icc_profile=b"profile", dpi=(300, 300), comment="of the small one")
    assert sr_pipeline.upscale(picture, model).info == {"icc_profile": b"profile", "dpi": (300, 300)}


def test_a_picture_is_the_same_as_array_image_and_file(model, rgb, tmp_path):
    Image.fromarray(rgb).save(tmp_path / "small.png")
    done = sr_pipeline.upscale_file(tmp_path / "small.png", str(tmp_path / "new" / "large.png"), model)
    assert done == (tmp_path / "new" / "large.png", 160, 120, done.seconds, ())
    large = sr_pipeline.upscale(rgb, model)
    assert np.array_equal(np.asarray(Image.open(done.path)), large)
    assert np.array_equal(np.asarray(sr_pipeline.upscale(Image.fromarray(rgb), model)), large)


def test_what_is_left_out_of_a_file_is_reported(model, rgb, tmp_path):
    texts = PngInfo()
    texts.add_text("parameters", "a red house")
    Image.fromarray(rgb).save(tmp_path / "small.png", pnginfo=texts)
    done = sr_pipeline.upscale_file(tmp_path / "small.png", tmp_path / "large.jpg", model)
    assert done.left_out == ("texts, which JPEG cannot hold",)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_histograms_are_matched(model, rgb, dtype):
    picture = (rgb // 2 / (1 if dtype == np.uint8 else 255)).astype(dtype)
    matched = sr_pipeline.upscale(picture, model, match_histogram=True)
    assert matched.dtype == dtype
    for channel in range(3):
        assert np.isclose(matched[..., channel].max(), picture[..., channel].max())


def test_a_name_is_opened_once(rgb, tmp_path):
    api._kept_open.cache_clear()
    first, again = (sr_pipeline.upscale(rgb, "fidelity") for _ in range(2))
    assert np.array_equal(first, again)
    assert api._kept_open.cache_info().misses == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_share_a_generator(engine, photograph):
    """Pictures of several sizes and tiles at once give the bytes that each gives alone."""
    package = {"onnx": "onnxruntime", "float32": "tensorflow"}.get(engine, engine)
    if not importlib.util.find_spec(package):
        pytest.skip(f"needs {package}")
    shared = sr_pipeline.load_model("fidelity", engine=engine, tile=64)
    pictures = [photograph[10 * n : 10 * n + 40 + 7 * n, 20 * n : 20 * n + 90 - 5 * n] for n in range(6)]
    alone = [sr_pipeline.upscale(picture, shared).tobytes() for picture in pictures]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda picture: sr_pipeline.upscale(picture, shared).tobytes(), pictures * 4))
    assert together == alone * 4


def test_threads_open_generators(capfd, rgb):
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: sr_pipeline.load_model("fidelity", engine="onnx"), range(8)))
    assert {sr_pipeline.upscale(rgb, each).tobytes() for each in opened} == {
        sr_pipeline.upscale(rgb, opened[0]).tobytes()
    }
    os.write(2, b"still there\n")
    assert capfd.readouterr().err == "still there\n"


@pytest.mark.parametrize(
    ("picture", "error", "sentence"),
    [
        ("photo.jpg", TypeError, "not str; for a file there is upscale_file"),
        ([[1, 2]], TypeError, "a NumPy array or a Pillow picture, not list"),
        (np.zeros((4, 4), np.int64), TypeError, "of int64; pass uint8, uint16, or floats"),
        (np.zeros((4, 4), bool), TypeError, "of bool"),
        (np.zeros((4, 4, 2), np.uint8), ValueError, r"shape \(4, 4, 2\); pass \(h, w\), \(h, w, 3\) or \(h, w, 4\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), ValueError, "the shape"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "no pixels"),
        (np.full((4, 4), 255.0), ValueError, r"from 255.0 to 255.0; floats have to be in \[0, 1\]"),
        (np.full((4, 4), np.nan), ValueError, "from nan to nan"),
        (Image.new("F", (4, 4)), sr_pipeline.UserError, "the picture is of a kind that cannot be read"),
        (Image.new("RGB", (0, 4)), ValueError, "no pixels"),
    ],
)
def test_what_cannot_be_enlarged(model, picture, error, sentence):
    with pytest.raises(error, match=sentence) as raised:
        sr_pipeline.upscale(picture, model)
    assert "\n" not in str(raised.value)


def test_files_that_cannot_be_enlarged(model, rgb, tmp_path):
    small = tmp_path / "small.png"
    Image.fromarray(rgb).save(small)
    refused = sr_pipeline.UserError
    with pytest.raises(refused, match=r"none\.png cannot be read \(No such file or directory\)"):
        sr_pipeline.upscale_file(tmp_path / "none.png", tmp_path / "large.png", model)
    with pytest.raises(refused, match=r"large\.xyz names no format that is written; let it end with \.png"):
        sr_pipeline.upscale_file(small, tmp_path / "large.xyz", model)
    with pytest.raises(refused, match="exists already; pass overwrite=True"):
        sr_pipeline.upscale_file(small, small, model)
    with pytest.raises(ValueError, match="quality is 0; choose one from 1 to 100"):
        sr_pipeline.upscale_file(small, tmp_path / "large.jpg", model, quality=0)
    assert [path.name for path in tmp_path.iterdir()] == ["small.png"]
    assert sr_pipeline.upscale_file(small, small, model, overwrite=True).width == 160
    Image.new("RGBA", (9, 9)).save(small)
    with pytest.raises(refused, match=r"small\.png is transparent, which JPEG cannot keep"):
        sr_pipeline.upscale_file(small, tmp_path / "large.jpg", model)


def test_generators_that_cannot_be_opened(rgb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(sr_pipeline.UserError, match=r"there is no model file none\.keras"):
        sr_pipeline.upscale(rgb, "none.keras")
    with pytest.raises(sr_pipeline.UserError, match="there is no engine 'cuda'"):
        sr_pipeline.load_model(engine="cuda")
    with pytest.raises(sr_pipeline.UserError, match="tiles of 3 pixels are too small"):
        sr_pipeline.load_model(tile=3)
    with pytest.raises(TypeError, match="model is a int; pass a name"):
        sr_pipeline.upscale(rgb, 3)
