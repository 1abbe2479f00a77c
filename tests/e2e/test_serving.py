"""The registered model, served by MLflow from another folder without this repository."""

import base64
import io
import json
import urllib.error
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor

import mlflow
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.conftest import PATIENCE, REPOSITORY, enlarged_by_keras
from tests.servers import free_port, running

URI = "models:/sr-generator@champion"
# Runs at the start of every Python below it on PYTHONPATH: this repository is not importable.
WITHOUT_REPOSITORY = (
    f"import sys; sys.path[:] = [p for p in sys.path if not p.startswith({str(REPOSITORY)!r} + '/src')]\n"
)


@pytest.fixture(scope="module")
def server(finished, tmp_path_factory):
    """Address of a running server, and its process."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "sitecustomize.py").write_text(WITHOUT_REPOSITORY)
    address = f"http://127.0.0.1:{free_port()}"
    environment = finished.environment() | {
        "MLFLOW_TRACKING_URI": f"sqlite:///{finished.folder}/mlflow.db",
        "PYTHONPATH": str(folder),
    }
    host, port = address.removeprefix("http://").split(":")
    command = ["models", "serve", "-m", URI, "--env-manager", "local", "-h", host, "-p", port]
    with running(
        finished.command("mlflow", *command), f"{address}/ping", folder / "log", cwd=folder, env=environment
    ) as process:
        yield address, process


def ask(server, body):
    """(status, text) of an answer."""
    request = urllib.request.Request(
        f"{server[0]}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def table(*files):
    rows = [[file if isinstance(file, str) else base64.b64encode(file).decode()] for file in files]
    return {"dataframe_split": {"columns": ["image"], "data": rows}}


def picture(width, height, kind="PNG", seed=0, **options):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, kind, **options)
    return buffer.getvalue()


def animation():
    frames = [Image.fromarray(np.full((32, 32), value, np.uint8)) for value in (0, 100, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def bomb(edge=30_000):
    """A PNG of 100 kB that becomes 900 megapixels."""

    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    head = edge.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes((1 + edge // 8) * edge), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BAD = {
    "no image": ({"dataframe_split": {"columns": ["other"], "data": [["x"]]}}, "image"),
    "no table": ({"nothing": 1}, ""),
    "broken base64": (table("abc"), ""),
    "empty": (table(b""), "the picture is empty; send the bytes of a PNG or JPEG file"),
    "text": (
        table(b"this is a text file, no picture"),
        "this is not a picture file; send the bytes of a PNG or JPEG file",
    ),
    "truncated": (table(picture(64, 64)[:2000]), "the picture is damaged or cut short; send a whole PNG or JPEG file"),
    "bomb": (table(bomb()), "too large; send at most 1 megapixel"),
    "narrow": (table(picture(17, 40)), "the picture of 17x40 pixels is too small; send at least 24x24"),
    "animated": (table(animation()), "the picture is animated (3 frames); send a still PNG or JPEG file"),
}


def enlarged(text):
    return [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(row["image"])))) for row in json.loads(text)["predictions"]
    ]


def test_pictures_in_pictures_out(server, finished):
    from sr_pipeline.datasets.keras_generators import load_keras_model

    generator = load_keras_model(finished.path("data/06_models/generator.keras"))
    png, jpeg = picture(40, 30), picture(33, 50, "JPEG", quality=95)
    status, text = ask(server, table(png, jpeg))
    assert status == 200, text
    for file, answer in zip((png, jpeg), enlarged(text), strict=True):
        expected = enlarged_by_keras(generator, np.asarray(Image.open(io.BytesIO(file)).convert("RGB")))
        difference = np.abs(answer.astype(int) - expected)
        assert difference.max() <= 5  # bfloat16, where the processor has it
        assert difference.mean() < 0.5


def test_transparency_and_gray_stay(server):
    noise = Image.open(io.BytesIO(picture(40, 30)))
    sent = [noise.convert("L"), noise.convert("RGBA")]
    sent[1].putalpha(Image.linear_gradient("L").resize(noise.size))
    files = [io.BytesIO(), io.BytesIO()]
    for image, file in zip(sent, files, strict=True):
        image.save(file, "PNG")
    status, text = ask(server, table(*(file.getvalue() for file in files)))
    assert status == 200, text
    assert [answer.shape for answer in enlarged(text)] == [(120, 160), (120, 160, 4)]


@pytest.mark.parametrize("name", list(BAD))
def test_bad_requests_get_one_clear_sentence(server, name):
    body, sentence = BAD[name]
    status, text = ask(server, body)
    assert 400 <= status < 500, text
    answer = json.loads(text)
    assert sentence in answer["message"]
    assert "Traceback" not in text
    assert "stack_trace" not in answer
    assert len(answer["message"]) < 1000  # MLflow's own, on requests that are no table, is long


def test_many_mixed_requests_leave_the_server_alive(server):
    workers = [psutil.Process(server[1].pid), *psutil.Process(server[1].pid).children(recursive=True)]
    good = {seed: picture(24 + seed % 9, 24 + seed % 5, seed=seed) for seed in range(10)}
    expected = {seed: enlarged(ask(server, table(file))[1])[0] for seed, file in good.items()}
    before = sum(worker.memory_info().rss for worker in workers)
    bad = [body for body, _ in BAD.values()]

    def one(number):
        if number % 2:
            return 400 <= ask(server, bad[number // 2 % len(bad)])[0] < 500
        status, text = ask(server, table(good[number // 2 % 10]))
        return status == 200 and np.array_equal(enlarged(text)[0], expected[number // 2 % 10])

    with ThreadPoolExecutor(6) as connections:
        assert all(connections.map(one, range(500)))
    assert {worker.pid for worker in workers if worker.is_running()} == {worker.pid for worker in workers}
    assert sum(worker.memory_info().rss for worker in workers) < before + 500e6


def test_the_plain_keras_model_travels_along(finished, tmp_path, monkeypatch):
    import keras

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{finished.folder}/mlflow.db")
    mlflow.set_tracking_uri(f"sqlite:///{finished.folder}/mlflow.db")
    file = mlflow.artifacts.download_artifacts(f"{URI}/artifacts/generator.keras", dst_path=str(tmp_path))
    assert keras.saving.load_model(file).output_shape == (None, None, None, 3)
    folder = mlflow.artifacts.download_artifacts(URI, dst_path=str(tmp_path / "all"))
    assert not [path for path in (tmp_path / "all").rglob("*") if path.suffix in (".pkl", ".pickle")], folder
