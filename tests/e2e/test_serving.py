"""The registered model, served by MLflow from another folder without this repository."""

import base64
import http.client
import io
import json
import urllib.error
import urllib.request
import zlib
from concurrent.futures import ThreadPoolExecutor

import mlflow
import numpy as np
import pandas as pd
import png
import psutil
import pytest
from PIL import Image

from sr_pipeline.pictures.reading import decode_picture
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


def post(server, content, content_type):
    """(status, text) of an answer; without a Content-Type, which urllib would invent, if that is None."""
    connection = http.client.HTTPConnection(server[0].removeprefix("http://"), timeout=PATIENCE)
    connection.request("POST", "/invocations", content, {"Content-Type": content_type} if content_type else {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def in_base64(file):
    return base64.b64encode(file).decode()


def table(*files):
    rows = [[file if isinstance(file, str) else in_base64(file)] for file in files]
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


NO_TABLE = (
    'the request is not a table with a column image; send {"dataframe_split": {"columns": ["image"], '
    '"data": [["<a PNG or JPEG file in base64>"]]}} with Content-Type: application/json'
)
OTHER_TYPE = NO_TABLE.replace("the request is not a table with a column image", "this content type is not taken")
NO_PICTURE = "this is not a picture file; send a PNG or JPEG file, over HTTP in base64"

BAD = {
    "no image": ({"dataframe_split": {"columns": ["other"], "data": [["x"]]}}, NO_TABLE),
    "no table": ({"nothing": 1}, NO_TABLE),
    "nothing in a row": ({"dataframe_split": {"columns": ["image"], "data": [[None]]}}, NO_TABLE),
    "two columns of that name": ({"dataframe_split": {"columns": ["image"] * 2, "data": [["", ""]]}}, NO_TABLE),
    "a list": ([1], NO_TABLE),
    "two tables": ({"inputs": {"image": ["x"]}, "instances": ["x"]}, NO_TABLE),
    "other inputs": ({"inputs": {"picture": ["x"]}}, NO_TABLE),
    "other instances": ({"instances": [{"picture": "x"}]}, NO_TABLE),
    "a chat": ({"messages": []}, NO_TABLE),
    "no base64": ({"inputs": ["hello!"]}, NO_PICTURE),
    "no text": ({"instances": [{"image": 5}]}, NO_PICTURE),
    "two in a row": ({"inputs": [["x", "y"]]}, "a row of the table holds no picture; send a PNG or JPEG file"),
    "broken base64": (table("abc"), NO_TABLE),
    "empty": (table(b""), "the picture is empty; send a PNG or JPEG file, over HTTP in base64"),
    "text": (
        table(b"this is a text file, no picture"),
        NO_PICTURE,
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


def answered_file(server, content):
    status, text = ask(server, table(content))
    assert status == 200, text
    return base64.b64decode(json.loads(text)["predictions"][0]["image"])


def test_the_colour_profile_stays(server, shared):
    """Display P3: without its profile the answer would show other colours."""
    file = shared / "cases" / "upscale" / "icc_p3.jpg"
    with Image.open(file) as sent, Image.open(io.BytesIO(answered_file(server, file.read_bytes()))) as answer:
        assert sent.info["icc_profile"]
        assert answer.info["icc_profile"] == sent.info["icc_profile"]
        assert answer.size == (4 * sent.width, 4 * sent.height)
        small = answer.convert("RGB").resize(sent.size, Image.Resampling.BOX)
        assert np.abs(np.asarray(small, int) - np.asarray(sent.convert("RGB"), int)).mean() < 12


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_and_transparency_stay(server, channels):
    """Gray, RGB, and both with alpha: a ramp whose finest steps 8 bits do not have, as picture and as transparency."""
    ramp = (np.arange(40 * 32) * 40 + 3).reshape(32, 40).astype(np.uint16)
    pixels = np.stack([ramp, ramp[::-1], ramp[:, ::-1]][: 3 if channels > 2 else 1], axis=-1)
    if channels in (2, 4):
        pixels = np.concatenate([pixels, ramp[..., np.newaxis]], axis=-1)
    buffer = io.BytesIO()
    kind = {"greyscale": channels < 3, "alpha": channels in (2, 4)}
    png.Writer(40, 32, bitdepth=16, **kind).write(buffer, pixels.reshape(32, -1).tolist())
    answer = decode_picture(answered_file(server, buffer.getvalue()))
    assert answer.size == (160, 128)
    assert answer.colour.dtype == np.uint16
    assert answer.colour.ndim == (2 if channels < 3 else 3)
    assert (answer.alpha is not None) == (channels in (2, 4))
    for plane in [answer.colour.reshape(128, 160, -1)[..., 0], *([answer.alpha] if channels in (2, 4) else [])]:
        assert (plane % 257 != 0).mean() > 0.9, "more than 8 bits widened to 16"
        assert np.corrcoef(plane[2::4, 2::4].ravel(), ramp.ravel())[0, 1] > 0.99


@pytest.mark.parametrize("name", list(BAD))
def test_bad_requests_get_one_clear_sentence(server, name):
    body, sentence = BAD[name]
    status, text = ask(server, body)
    assert 400 <= status < 500, text
    answer = json.loads(text)
    assert sentence in answer["message"]
    assert answer["message"].count("\n") == 0
    assert "stack_trace" not in answer


UNREADABLE = {
    "no type": (b"{}", None, 415, OTHER_TYPE),
    "a picture": (picture(24, 24), "image/png", 415, OTHER_TYPE),
    "another character set": (b"{}", "application/json; charset=latin-1", 415, OTHER_TYPE),
    "100000 brackets": (b"[" * 100_000, "application/json", 400, NO_TABLE),
    "100000 brackets in a table": (b'{"inputs": ' + b"[" * 100_000, "application/json", 400, NO_TABLE),
    "500 brackets": (b'{"inputs": ' + b"[" * 500 + b"]" * 500 + b"}", "application/json", 400, NO_TABLE),
    "a long number": (b'{"inputs": ' + b"1" * 10_000 + b"}", "application/json", 400, NO_TABLE),
    "no JSON": (picture(24, 24), "application/json", 400, NO_TABLE),
    "nothing": (b"", "application/json", 400, NO_TABLE),
    "an empty CSV": (b"", "text/csv", 400, NO_TABLE),
    "another CSV": (b"a,b\n1,2\n", "text/csv", 400, NO_TABLE),
    "no Parquet": (b"abcd", "application/vnd.apache.parquet", 400, NO_TABLE),
}


@pytest.mark.parametrize("name", list(UNREADABLE))
def test_requests_that_mlflow_cannot_read_are_told_what_to_send(server, name):
    """MLflow's own server answers the first, those of 100000 brackets and the long number with status 500."""
    content, content_type, expected, sentence = UNREADABLE[name]
    status, text = post(server, content, content_type)
    assert status == expected, text
    said = text if status == 415 else json.loads(text)["message"]
    assert said == sentence
    assert "stack_trace" not in text


FORMS = {
    "columns": lambda files: {"inputs": {"image": files}},
    "a column's only value": lambda files: {"inputs": {"image": files[0]}},
    "values": lambda files: {"inputs": files},
    "rows of values": lambda files: {"inputs": [[file] for file in files]},
    "records": lambda files: {"inputs": [{"image": file} for file in files]},
    "instances": lambda files: {"instances": [{"image": file} for file in files]},
    "instances that are values": lambda files: {"instances": files},
    "records of a table": lambda files: {"dataframe_records": [{"image": file} for file in files]},
}


@pytest.mark.parametrize("form", list(FORMS))
def test_all_of_mlflows_forms_of_a_table_are_taken(server, form):
    first, second = picture(30, 24, seed=1), picture(24, 30, "JPEG", seed=2)
    body = FORMS[form]([in_base64(first), in_base64(second)])
    status, text = ask(server, body)
    assert status == 200, text
    expected = enlarged(ask(server, table(first, second))[1])
    answers = enlarged(text)
    assert len(answers) == (1 if form == "a column's only value" else 2)
    assert all(np.array_equal(*pair) for pair in zip(answers, expected, strict=False))


def test_csv_and_parquet_are_taken(server):
    file = picture(30, 24)
    expected = enlarged(ask(server, table(file))[1])[0]
    parquet = io.BytesIO()
    pd.DataFrame({"image": [file]}).to_parquet(parquet)
    as_text = io.BytesIO()
    pd.DataFrame({"image": [in_base64(file)]}).to_parquet(as_text)
    for content, content_type in [
        (f"number,image\n1,{in_base64(file)}\n".encode(), "text/csv"),
        (parquet.getvalue(), "application/vnd.apache.parquet"),
        (as_text.getvalue(), "application/vnd.apache.parquet"),
    ]:
        status, text = post(server, content, content_type)
        assert status == 200, text
        assert np.array_equal(enlarged(text)[0], expected)


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
