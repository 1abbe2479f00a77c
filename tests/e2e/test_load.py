"""Some minutes of mixed requests by eight clients at once: of the page, which is killed in between, and of the model.

Every accepted picture must come back as `sr-pipeline upscale` makes it, and everything else must be refused as the
pages in docs/ say. Afterwards nothing is left: no files, no threads, no memory. Run by `make test-load`.
"""

import http.client
import io
import json
import logging
import random
import shutil
import signal
import socket
import threading
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import png
import psutil
import pytest
from PIL import ExifTags, Image

from sr_pipeline.errors import UserError
from sr_pipeline.inference.engines import choose_engine
from sr_pipeline.inference.enlargement import Options, enlarge_file
from sr_pipeline.inference.folding import read_folded
from sr_pipeline.inference.models import open_model
from sr_pipeline.inference.upscaler import Upscaler
from sr_pipeline.pictures.reading import decode_picture
from sr_pipeline.serving import requests as served
from tests.conftest import PATIENCE, REPOSITORY, Project
from tests.e2e.test_serving import (
    BAD,
    UNREADABLE,
    answered_file,
    ask,
    bomb,
    post,
    server,  # noqa: F401  (a fixture)
)
from tests.servers import free_port, start, stop

log = logging.getLogger(__name__)

pytestmark = pytest.mark.load

CLIENTS = 8
SEED = 1
# Uploads of each kind, 300 in all. A third comes before the memory is first looked at, with two kills in between.
MIX = {
    "good": 110,
    "odd": 60,
    "broken": 40,
    "large": 10,
    "wrong": 20,
    "aborted": 20,
    "dropped": 15,
    "heads": 10,
    "foreign": 15,
}
WARM_UP, KILLS = 100, (30, 65)
# Bytes that engine and allocators may keep more of: what one tile takes (inference/upscaler.py). It went from 1.28 to
# 1.35, 1.46 and 1.49 GB in four rounds of 150 uploads.
MEMORY = 600e6


class Upload(NamedTuple):
    """A file as a browser sends it."""

    name: str
    content: bytes
    match: bool = False


def encoded(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def deep(width, height, **kind):
    planes = (1 if kind["greyscale"] else 3) + kind.get("alpha", False)
    values = np.random.default_rng(SEED).integers(0, 65536, (height, width * planes))
    buffer = io.BytesIO()
    png.Writer(width, height, bitdepth=16, **kind).write(buffer, values.tolist())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures():
    """Uploads by kind."""
    import skimage.data

    photograph = Image.fromarray(skimage.data.chelsea())
    small, medium = photograph.resize((60, 40)), photograph.resize((226, 150))
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    seen_through = small.copy()
    seen_through.putalpha(Image.linear_gradient("L").resize(small.size))
    good = [
        Upload("a.png", encoded(small, "PNG")),
        Upload("b.jpg", encoded(small, "JPEG")),
        Upload("TURNED.JPEG", encoded(small, "JPEG", exif=turned)),
        Upload("medium.jpg", encoded(medium, "JPEG", quality=95)),
        Upload("gray.png", encoded(small.convert("L"), "PNG")),
        Upload("palette.gif", encoded(small.quantize(16), "GIF")),
        Upload("print.jpg", encoded(small.convert("CMYK"), "JPEG")),
        Upload("through.png", encoded(seen_through, "PNG")),
        Upload("through.webp", encoded(seen_through, "WEBP", lossless=True)),
        Upload("lossy.webp", encoded(small, "WEBP")),
        Upload("scan.tif", encoded(small, "TIFF")),
        Upload("old.bmp", encoded(small, "BMP")),
        Upload("deep.png", deep(40, 30, greyscale=False)),
        Upload("deep gray.png", deep(40, 30, greyscale=True, alpha=True)),
        Upload("dot.png", encoded(small.crop((0, 0, 1, 1)), "PNG")),
        Upload("line.jpg", encoded(small.crop((0, 0, 60, 1)), "JPEG")),
        Upload("no ending", encoded(small, "PNG")),
        Upload("../../\0猫" + 300 * "x" + ".png", encoded(small, "PNG")),
    ]
    good += [upload._replace(match=True) for upload in good[:9]]
    whole = [upload.content for upload in good]
    generator = random.Random(SEED)
    damaged = []
    for content in whole:
        changed = bytearray(content)
        for _ in range(5):
            changed[generator.randrange(len(changed))] = generator.randrange(256)
        damaged.append(Upload("damaged.png", bytes(changed)))
    broken = [
        *(Upload("cut.jpg", content[: len(content) // 2]) for content in whole[:8]),
        Upload("notes.jpg", b"no picture"),
        Upload("empty.png", b""),
        Upload("page.png", b"<!DOCTYPE html><html></html>"),
        Upload("moves.gif", encoded(small, "GIF", save_all=True, append_images=[medium.resize(small.size)])),
        Upload("noise.png", generator.randbytes(5000)),
        *damaged,
    ]
    large = [
        Upload("huge.png", encoded(Image.new("1", (3000, 2000)), "PNG")),
        Upload("bomb.png", bomb()),
        Upload("long.png", bytes(41_000_000)),
    ]
    return {"good": good, "odd": odd_files() or good, "broken": broken, "large": large, "slow": [slow_one(photograph)]}


def odd_files():
    """The development data's, which are not part of the project."""
    folder = REPOSITORY.parent / "shared" / "cases" / "upscale"
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [Upload(file.name, file.read_bytes()) for file in files]


def slow_one(photograph):
    """It is dropped before it is done."""
    return Upload("slow.png", encoded(photograph.resize((1000, 700)), "PNG"))


@pytest.fixture(scope="module")
def upscaled(tmp_path_factory):
    """What `sr-pipeline upscale` makes of an upload, as a file with this ending; None if it refuses it."""
    folder, model, one_at_a_time = tmp_path_factory.mktemp("expected"), open_model("perceptual"), threading.Lock()

    @cache
    def made(content, match, ending):
        source, target = folder / "source", folder / f"target{ending}"
        source.write_bytes(content)
        try:
            options = Options(match_histogram=match, overwrite=True)
            enlarge_file(source, target, model, options, lambda done, total: None)
        except UserError:
            return None
        return target.read_bytes()

    def upscaled(upload, ending):
        with one_at_a_time:
            return made(upload.content, upload.match, ending)

    return upscaled


class KilledError(Exception):
    """What was asked for went with a page that was killed."""


class Page:
    """The page in a process of its own, as its users start it."""

    def __init__(self, folder):
        self.folder, self.scratch, self.port = folder, folder / "tmp", free_port()
        self.scratch.mkdir()
        self.kills, self.up = 0, threading.Event()
        self._start()

    def _start(self):
        project = Project.at(REPOSITORY)
        self.process = start(
            project.command("sr-pipeline", "app", "--port", str(self.port), "--no-open"),
            f"http://127.0.0.1:{self.port}/api/models",
            self.folder / "log",
            cwd=self.folder,
            env=project.environment() | {"TMPDIR": str(self.scratch)},
        )
        self.up.set()

    def kill(self):
        """Kill it without warning, and start it again."""
        self.up.clear()
        self.kills += 1
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._start()

    def ask(self, method, path, content=None, **headers):
        """(status, content) of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def send(self, upload, **query):
        """(status, answer) of an upload; where the queue is full, once it is not."""
        fields = {"name": upload.name, "match": str(upload.match).lower()} | query
        while True:
            status, content = self.ask("POST", f"/api/jobs?{urllib.parse.urlencode(fields)}", upload.content)
            answer = json.loads(content)
            if status != 503:
                return status, answer
            assert answer["detail"] == "Many pictures are waiting; try again in a minute."
            time.sleep(0.1)

    def wait_for(self, answer, states):
        """The status of a job once it is in one of these states."""
        while answer["state"] not in states:
            time.sleep(0.02)
            status, content = self.ask("GET", f"/api/jobs/{answer['id']}")
            if status == 404:
                raise KilledError
            assert status == 200, content
            answer = json.loads(content)
        return answer

    def part(self, job, name, method="GET"):
        status, content = self.ask(method, f"/api/jobs/{job['id']}/{name}")
        if status == 404:
            raise KilledError
        assert status == 200, content
        return content

    def drop(self, job):
        assert self.ask("DELETE", f"/api/jobs/{job['id']}")[0] == 200


class Client:
    """What the eight clients do, by kind."""

    def __init__(self, page, pictures, upscaled):
        self.page, self.pictures, self.upscaled = page, pictures, upscaled

    def do(self, kind, number):
        """Do it, and again if the page was killed meanwhile."""
        while True:
            assert self.page.up.wait(PATIENCE)
            kills = self.page.kills
            try:
                return getattr(self, kind)(number)
            except (OSError, http.client.HTTPException, KilledError):
                if self.page.kills == kills:
                    raise

    def upload(self, kind, number):
        return self.pictures[kind][number % len(self.pictures[kind])]

    def good(self, number):
        self.is_right(self.upload("good", number))

    def odd(self, number):
        self.is_right(self.upload("odd", number))

    def broken(self, number):
        self.is_right(self.upload("broken", number))

    def is_right(self, upload):
        """It is enlarged as upscale does, or refused where upscale refuses it."""
        status, answer = self.page.send(upload)
        if status == 400:
            assert answer["detail"].endswith("."), answer
            assert "--" not in answer["detail"], answer
            refused_by_upscale = not upload.content or self.upscaled(upload, ".png") is None
            assert refused_by_upscale, f"{upload.name}: {answer}"
            return
        assert status == 202, answer
        job = self.page.wait_for(answer, ("done", "failed"))
        expected = self.upscaled(upload, Path(job["name"]).suffix)
        assert (job["state"] == "failed") == (expected is None), f"{upload.name}: {job}"
        if expected is not None:
            same = self.page.part(job, "result") == expected
            assert same, upload.name
            assert job["bytes"] == len(expected)
            assert list(decode_picture(self.page.part(job, "before")).size) == job["before"]
        self.page.drop(job)

    def large(self, number):
        try:
            status, answer = self.page.send(self.upload("large", number))
        except (BrokenPipeError, ConnectionResetError):  # the answer came before all was sent
            return
        assert status in (400, 413)
        assert "too large" in answer["detail"]

    def wrong(self, number):
        good = self.upload("good", number)
        assert self.page.send(good, model="/etc/passwd")[0] == 400
        assert self.page.send(good, match="perhaps")[0] == 422
        assert self.page.ask("GET", f"/api/jobs/{number}/result")[0] == 404
        assert self.page.ask("PUT", "/api/jobs", b"x")[0] == 405
        assert self.page.ask("GET", "/api/models", Host="evil.example")[0] == 400

    def aborted(self, number):
        with socket.create_connection(("127.0.0.1", self.page.port), timeout=PATIENCE) as connection:
            content = self.upload("good", number).content
            connection.sendall(
                f"POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1:{self.page.port}\r\n"
                f"Content-Length: {len(content)}\r\n\r\n".encode()
            )
            connection.sendall(content[: len(content) // 2])

    def dropped(self, number):
        status, answer = self.page.send(self.upload("slow", number))
        assert status == 202, answer
        if number % 2:
            self.page.wait_for(answer, ("running",))
        self.page.drop(answer)
        assert self.page.ask("GET", f"/api/jobs/{answer['id']}")[0] == 404

    def heads(self, number):
        assert self.page.ask("HEAD", "/") == self.page.ask("HEAD", "/api/models") == (200, b"")
        status, answer = self.page.send(self.upload("good", 0))
        assert status == 202
        job = self.page.wait_for(answer, ("done",))
        assert self.page.part(job, "result", "HEAD") == b""
        self.page.drop(job)

    def foreign(self, number):
        upload = self.upload("good", number)
        for origin in ("https://evil.example", "null", "http://["):
            assert self.page.ask("POST", "/api/jobs?name=a.png", upload.content, Origin=origin)[0] == 403


def schedule():
    """All that is done, in an order that is the same every time."""
    done = [(kind, number) for kind, count in MIX.items() for number in range(count)]
    random.Random(SEED).shuffle(done)
    return done


@contextmanager
def clients():
    pool = ThreadPoolExecutor(CLIENTS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class Use(NamedTuple):
    """What processes hold."""

    memory: int
    threads: int
    files: int


def use_of(processes):
    """Once connections are closed."""
    each = [(process.memory_info().rss, process.num_threads(), process.num_fds()) for process in processes]
    return Use(*map(sum, zip(*each, strict=True)))


def assert_nothing_leaks(processes, before):
    until = time.monotonic() + PATIENCE
    while use_of(processes).files > before.files and time.monotonic() < until:
        time.sleep(0.1)  # sockets are closed after their answers
    after = use_of(processes)
    assert after.files <= before.files, (before, after)
    # Of the server's pool of threads, some may not have ended yet.
    assert after.threads <= before.threads + CLIENTS, (before, after)
    assert after.memory < before.memory + MEMORY, (before, after)
    log.info("before %s, after %s", before, after)


def wait_until_idle(page):
    """What was dropped last is still being stopped."""
    until = time.monotonic() + PATIENCE
    while len(list(page.scratch.rglob("*"))) > 2 and time.monotonic() < until:
        time.sleep(0.1)
    (folder,) = page.scratch.iterdir()
    assert [file.name for file in folder.iterdir()] == ["lock"]


def test_the_page(tmp_path, pictures, upscaled):
    page = Page(tmp_path)
    client = Client(page, pictures, upscaled)
    done = schedule()
    try:
        with clients() as pool:
            started = [pool.submit(client.do, *each) for each in done[:WARM_UP]]
            for number in KILLS:
                started[number].result()
                page.kill()
            for each in started:
                each.result()
            wait_until_idle(page)
            before = use_of([psutil.Process(page.process.pid)])
            for each in [pool.submit(client.do, *each) for each in done[WARM_UP:]]:
                each.result()
        wait_until_idle(page)
        assert_nothing_leaks([psutil.Process(page.process.pid)], before)
        page.process.terminate()
        page.process.wait(timeout=PATIENCE)
    finally:
        stop(page.process)
    log = (tmp_path / "log").read_text()
    assert log.count("The page is at") == 1 + len(KILLS)
    assert "Traceback" not in log, log
    assert "ERROR" not in log, log
    assert list(page.scratch.iterdir()) == []
    shutil.rmtree(tmp_path)


def test_the_served_model(server, pictures, finished):  # noqa: F811
    upscale = Upscaler(choose_engine(read_folded(finished.path("data/06_models/generator.keras"))))
    good = [upload.content for upload in pictures["good"] + pictures["odd"]]
    processes = [psutil.Process(server[1].pid), *psutil.Process(server[1].pid).children(recursive=True)]

    @cache
    def expected(number):
        """The file, or the sentence."""
        try:
            return served.enlarge_file(good[number], upscale)
        except UserError as error:
            return str(error)

    answers = [expected(number) for number in range(len(good))]

    def one(number):
        kind, number = number % 3, number // 3
        if kind == 0:
            body, sentence = list(BAD.values())[number % len(BAD)]
            status, text = ask(server, body)
            assert status == 400, text
            assert sentence in text.replace('\\"', '"')
        elif kind == 1:
            content, content_type, status, _ = list(UNREADABLE.values())[number % len(UNREADABLE)]
            assert post(server, content, content_type)[0] == status
        else:
            answer, content = answers[number % len(good)], good[number % len(good)]
            if isinstance(answer, bytes):
                same = answered_file(server, content) == answer
                assert same, number
            else:
                status, text = ask(server, {"inputs": [served_text(content)]})
                assert (status, json.loads(text)["message"]) == (400, answer)

    with clients() as pool:
        list(pool.map(one, range(100)))
        before = use_of(processes)
        list(pool.map(one, range(300)))
    assert_nothing_leaks(processes, before)
    assert [process.is_running() for process in processes] == [True] * len(processes)


def served_text(content):
    import base64

    return base64.b64encode(content).decode()
