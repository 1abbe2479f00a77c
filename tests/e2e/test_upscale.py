"""`sr-pipeline upscale`, as a person types it."""

import io
import json
import os
import signal
import subprocess
import time
import zipfile

import h5py
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.conftest import PATIENCE, enlarged_by_keras

MODEL = ("--model", "data/06_models/generator.keras", "--engine", "float32")


@pytest.fixture
def here(tmp_path, photograph):
    """A folder with pictures of several kinds."""
    cat = Image.fromarray(photograph)
    cat.resize((45, 30)).save(tmp_path / "cat.jpg", quality=95)
    cat.resize((30, 20)).convert("L").save(tmp_path / "gräu picture.png")
    cat.resize((30, 20)).save(tmp_path / "-dash.png")
    (tmp_path / "notes.png").write_text("no picture")
    return tmp_path


def options(finished):
    return ("upscale", "--model", str(finished.path(MODEL[1])), *MODEL[2:])


def upscale(finished, here, *arguments):
    return finished.run("sr-pipeline", *options(finished), *arguments, check=False, folder=here)


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_one_bad_file_among_many(finished, here):
    before = names(here)
    done = upscale(finished, here, "*.jpg", "gräu picture.png", "notes.png", "missing.png", "--", "-dash.png")
    assert done.returncode == 1
    assert names(here) - before == {"cat_x4.jpg", "gräu picture_x4.png", "-dash_x4.png"}
    assert Image.open(here / "cat_x4.jpg").size == (180, 120)
    assert Image.open(here / "gräu picture_x4.png").mode == "L"
    assert "cat.jpg -> cat_x4.jpg (180x120, " in done.stdout
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert errors == ["Error: notes.png cannot be read as an image", "Error: missing.png does not exist"]
    assert "Traceback" not in done.stderr


def test_the_result_is_the_generators(finished, here):
    from sr_pipeline.datasets.keras_generators import load_keras_model

    done = upscale(finished, here, "gräu picture.png", "cat.jpg", "--format", "png", "-o", "out", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [(result["output"], result["width"]) for result in told] == [
        ("out/gräu picture.png", 120),
        ("out/cat.png", 180),
    ]
    generator = load_keras_model(finished.path("data/06_models/generator.keras"))
    expected = enlarged_by_keras(generator, np.asarray(Image.open(here / "cat.jpg")))
    assert np.abs(np.asarray(Image.open(here / "out/cat.png")).astype(int) - expected).max() <= 1
    again = upscale(finished, here, "cat.jpg", "--format", "png", "-o", "out")
    assert again.returncode == 1
    assert "Error: cat.jpg is not enlarged: out/cat.png exists already (add --overwrite to replace it)" in again.stderr
    matched = upscale(finished, here, "cat.jpg", "--format", "png", "-o", "out", "--overwrite", "--match-histogram")
    assert matched.returncode == 0
    assert not np.array_equal(np.asarray(Image.open(here / "out/cat.png")), expected)


def test_a_generator_comes_with_the_package(finished, here):
    """In any folder, without a project, a registry or a network."""
    environment = finished.environment() | {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = finished.command("sr-pipeline", "upscale", "cat.jpg")
    subprocess.run(command, cwd=here, env=environment, check=True, timeout=PATIENCE)
    enlarged, cat = Image.open(here / "cat_x4.jpg"), Image.open(here / "cat.jpg")
    assert enlarged.size == (180, 120)
    difference = np.asarray(enlarged.resize(cat.size, Image.Resampling.BOX)).astype(int) - np.asarray(cat)
    assert np.abs(difference).mean() < 4


def test_the_champion_is_found_in_the_project(finished, here):
    output = str(here / "champion.png")
    done = finished.run("sr-pipeline", "upscale", str(here / "cat.jpg"), "--model", "champion", "-o", output)
    assert Image.open(here / "champion.png").size == (180, 120), done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("cat.jpg", "--model", "champion"),
            "model champion is looked up in the MLflow registry, but there is no MLflow store in",
        ),
        (("cat.jpg", "--model", "none.keras"), "there is no model file none.keras"),
        (("cat.jpg", "--model", "cat.jpg"), "cat.jpg is not a Keras model"),
        (("cat.jpg", "--tile", "3", *MODEL), "tiles of 3 pixels are too small for a generator that sees"),
        (("cat.jpg", "notes.png", "-o", "one.png"), "-o one.png is a file, but there are 2 pictures"),
    ],
)
def test_mistakes_are_told_in_one_line(finished, here, arguments, sentence):
    arguments = [str(finished.path(part)) if part == MODEL[1] else part for part in arguments]
    before = names(here)
    done = finished.run("sr-pipeline", "upscale", *arguments, check=False, folder=here)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, done.stderr
    assert sentence in lines[0]
    assert names(here) == before


def test_ctrl_c_leaves_no_half_file(finished, here):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)  # enlarged, too large for memory
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    (here / "large.png").write_bytes(buffer.getvalue())
    before = names(here)
    process = subprocess.Popen(
        finished.command("sr-pipeline", *options(finished), "cat.jpg", "large.png"),
        cwd=here,
        env=finished.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "cat_x4.jpg" in process.stdout.readline()
    until = time.monotonic() + PATIENCE
    while not any(str(here) in part.path for part in psutil.Process(process.pid).memory_maps()):
        assert process.poll() is None
        assert time.monotonic() < until, "the large picture's pixels lie in a file beside it"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert names(here) - before == {"cat_x4.jpg"}


def test_help_starts_quickly_and_without_large_libraries(finished):
    code = (
        "import sys\nfrom sr_pipeline.cli.main import main\nsys.argv = ['sr-pipeline', 'upscale', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "loaded = {'tensorflow', 'keras', 'mlflow', 'numpy', 'pandas', 'PIL'} & set(sys.modules)\n"
        "assert not loaded, loaded\n"
    )
    done = finished.run("python", "-c", code)
    assert "Usage: sr-pipeline upscale" in done.stdout


def test_a_read_only_folder(finished, here):
    """Files of /proc cannot be made by anybody, root included."""
    done = upscale(finished, here, "cat.jpg", "-o", "/proc/cat.png")
    assert done.returncode == 1
    assert "Error: cat.jpg cannot be written to /proc/cat.png (" in done.stderr


def test_export_to_onnx(finished, tmp_path):
    import onnxruntime

    done = finished.run("sr-pipeline", "export", str(tmp_path / "model.onnx"))
    assert "MB" in done.stdout
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (sr,) = session.run(None, {"lr": np.random.default_rng(0).random((2, 7, 9, 3), np.float32)})
    assert sr.shape == (2, 28, 36, 3)
    again = finished.run("sr-pipeline", "export", str(tmp_path / "model.onnx"), check=False)
    assert again.returncode == 1
    assert "exists already; name another file, or add --overwrite" in again.stderr


def _types_of_weights(path):
    types = set()
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
        weights.visititems(lambda _, item: types.add(str(item.dtype)) if isinstance(item, h5py.Dataset) else None)
    return types


def test_export_with_weights_of_16_bits(finished, tmp_path):
    small = tmp_path / "small.keras"
    finished.run("sr-pipeline", "export", str(small), "--model", "data/06_models/generator.keras")
    whole = finished.path("data/06_models/generator.keras")
    assert small.stat().st_size < whole.stat().st_size  # much smaller in networks larger than this
    assert _types_of_weights(whole) == {"float32"}
    assert _types_of_weights(small) == {"float16"}
    finished.run("sr-pipeline", "export", str(tmp_path / "model.onnx"), "--model", str(small))
    other = finished.run("sr-pipeline", "export", str(tmp_path / "model.pb"), check=False)
    assert other.returncode == 1
    assert "Error: export writes .onnx and .keras files, not .pb" in other.stderr
