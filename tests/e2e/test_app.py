"""The page, in a real browser."""

import http.client
import io
import json
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from tests.conftest import PATIENCE
from tests.servers import free_port, running


@pytest.fixture(scope="module")
def app(finished, tmp_path_factory):
    """Address, and the folder in which it may write."""
    scratch = tmp_path_factory.mktemp("app")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = ["app", "--port", str(port), "--no-open"]
    with running(
        finished.command("sr-pipeline", *command),
        address,
        scratch / "log",
        cwd=finished.folder,
        env=finished.environment() | {"TMPDIR": str(scratch)},
    ) as process:
        yield address, scratch
        process.terminate()
        process.wait(timeout=PATIENCE)
    assert [path.name for path in scratch.iterdir()] == ["log"], "it cleans up"


@pytest.fixture
def page(browser, app):
    page = browser.new_page(viewport={"width": 1000, "height": 900}, accept_downloads=True)
    page.set_default_timeout(1000 * PATIENCE)
    page.errors, page.requested = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("request", lambda request: page.requested.append(request.url))
    page.goto(app[0])
    yield page
    assert page.errors == []
    assert all(url.startswith((app[0], "blob:")) for url in page.requested), "nothing comes from elsewhere"
    page.close()


@pytest.fixture
def picture(tmp_path, photograph):
    path = tmp_path / "my cat – ü.png"
    Image.fromarray(photograph).resize((60, 40)).save(path)
    return path


def send(app, content, **query):
    request = urllib.request.Request(f"{app[0]}/api/jobs?{urllib.parse.urlencode(query)}", content)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_a_picture_is_enlarged_compared_and_downloaded(page, picture, finished, tmp_path):
    page.set_input_files("#file", picture)
    page.locator("#result").wait_for(state="visible")
    assert "60 × 40 → 240 × 160 pixels" in page.inner_text("#facts")
    sizes = "[...document.querySelectorAll('#view img')].map(i => [i.naturalWidth, i.naturalHeight])"
    assert page.evaluate(sizes) == [[240, 160], [60, 40]]
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "my cat – ü_x4.png"
    download.value.save_as(tmp_path / "got.png")
    finished.run("sr-pipeline", "upscale", str(picture), "-o", str(tmp_path / "same.png"))
    same, got = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("same.png", "got.png"))
    assert np.abs(same - got).mean() < 1  # the engine may be another, and compute less exactly


def test_the_slider_follows_keyboard_and_pointer(page, picture):
    page.set_input_files("#file", picture)
    page.locator("#result").wait_for(state="visible")
    shown = "document.querySelector('#before').style.clipPath"
    page.focus("#split")
    before = page.evaluate(shown)
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    assert page.input_value("#split") == "60"
    assert page.evaluate(shown) != before
    box = page.locator("#view").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2)
    page.mouse.up()
    assert page.input_value("#split") == "20"
    zoom = page.inner_text("#zoom")
    page.focus("#in")
    page.keyboard.press("Enter")
    assert page.inner_text("#zoom") != zoom
    page.click("#fit")
    assert page.inner_text("#zoom") == zoom


def test_other_settings_enlarge_it_again(page, picture):
    page.set_input_files("#file", picture)
    page.locator("#result").wait_for(state="visible")
    first = page.get_attribute("#after", "src")
    assert "champion" in page.inner_text("#model")
    page.check("#match")
    page.wait_for_function("first => document.querySelector('#after').getAttribute('src') !== first", arg=first)
    page.get_by_text("Done.").wait_for()


def test_on_a_phone(browser, app, picture):
    page = browser.new_page(viewport={"width": 360, "height": 700}, has_touch=True, is_mobile=True)
    page.goto(app[0])
    page.set_input_files("#file", picture)
    page.locator("#result").wait_for(state="visible", timeout=1000 * PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.evaluate("document.querySelector('#model option').textContent = 'a model with a rather long name '.repeat(3)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    buttons = "[...document.querySelectorAll('button, .button, select')].map(e => e.getBoundingClientRect().height)"
    assert min(page.evaluate(buttons)) >= 38  # a finger's
    page.close()


def test_wrong_files_are_told_in_a_sentence(page, tmp_path, picture):
    (tmp_path / "notes.jpg").write_text("no picture")
    page.set_input_files("#file", tmp_path / "notes.jpg")
    page.locator("#message.error").wait_for()
    assert page.inner_text("#message") == "This file cannot be read as an image."
    Image.new("1", (3000, 2000)).save(tmp_path / "huge.png")
    page.set_input_files("#file", tmp_path / "huge.png")
    page.get_by_text("This file is too large (3000x2000)").wait_for()
    page.set_input_files("#file", picture)  # and it goes on
    page.locator("#result").wait_for(state="visible")


def test_a_result_that_jpeg_cannot_hold_is_shown_or_offered_as_png(page, shared):
    """65600 pixels wide: the page has no choice of formats to point to."""
    page.set_input_files("#file", shared / "cases" / "upscale" / "shape_16400x8.jpg")
    page.locator("#result").wait_for(state="visible")
    assert "16400 × 8 → 65600 × 32 pixels" in page.inner_text("#facts")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "shape_16400x8_x4.png"
    assert "does not answer" not in page.inner_text("#message")


def test_a_result_that_the_browser_does_not_show_can_be_downloaded(page, picture):
    page.route("**/result", lambda route: route.abort())
    page.set_input_files("#file", picture)
    page.get_by_text("Done. This browser does not show the result").wait_for()
    page.unroute("**/result")
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "my cat – ü_x4.png"


def test_a_server_that_goes_away_while_a_result_loads_is_told_in_the_pages_words(page, picture):
    def go_away(route):
        page.context.set_offline(True)
        route.abort()

    page.route("**/result", go_away)
    page.set_input_files("#file", picture)
    page.locator("#message.error").wait_for()
    assert page.inner_text("#message") == "The program behind this page does not answer; is it still running?"
    assert not page.is_visible("#result")


def test_limits(app):
    assert send(app, b"", name="a.png") == (400, {"detail": "The file is empty."})
    status, answer = send(app, bytes(41_000_000), name="a.png")
    assert (status, answer["detail"]) == (413, "The file is too large; at most 40 MB are taken.")
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "PNG")
    status, answer = send(app, buffer.getvalue(), model="/etc/passwd")
    assert (status, answer["detail"]) == (400, "The page does not offer that model; load it again.")
    status, answer = send(app, buffer.getvalue(), name="../../a.png")
    assert status == 202
    with urllib.request.urlopen(f"{app[0]}/api/jobs/{answer['id']}") as told:
        assert json.loads(told.read())["name"] == "a_x4.png"
    # Another site could reach it by a name that leads to this machine.
    request = urllib.request.Request(f"{app[0]}/api/models", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)


def test_what_the_page_drops_is_gone(app):
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20)).save(buffer, "PNG")
    _, answer = send(app, buffer.getvalue(), name="a.png")
    address = f"{app[0]}/api/jobs/{answer['id']}"
    urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=PATIENCE)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(address, timeout=PATIENCE)


def test_it_starts_again_at_the_port_it_has_just_left(finished, tmp_path):
    """A connection that the page ended keeps the port for a minute, unless the next one says that it may share it."""
    port = free_port()
    command = finished.command("sr-pipeline", "app", "--port", str(port), "--no-open")
    options = {"cwd": finished.folder, "env": finished.environment() | {"TMPDIR": str(tmp_path)}}
    address = f"http://127.0.0.1:{port}"
    with running(command, address, tmp_path / "log", **options) as process:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.request("GET", "/api/models")
        connection.getresponse().read()  # and the connection stays open
        process.terminate()
        process.wait(timeout=PATIENCE)
        connection.close()
    with running(command, address, tmp_path / "log", **options):
        pass


def test_other_sites_are_refused_and_heads_are_answered(app):
    def asked(path, method, origin=None):
        headers = {"Origin": origin} if origin else {}
        request = urllib.request.Request(app[0] + path, b"" if method == "POST" else None, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    assert asked("/api/jobs", "POST", "https://evil.example") == 403
    assert asked("/api/jobs", "POST", "null") == 403
    assert asked("/api/models", "GET", "http://[") == 403
    assert asked("/api/jobs", "POST", app[0]) == 400, "empty, but from here"
    assert asked("/api/models", "HEAD") == asked("/", "HEAD") == 200


def test_an_upload_that_is_broken_off(app):
    """The page goes on, and the terminal shows no traceback."""
    host, port = app[0].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"POST /api/jobs HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000\r\n\r\nhalf".encode()
        )
    assert send(app, b"", name="a.png")[0] == 400
    assert "Traceback" not in (app[1] / "log").read_text()


def test_asking_for_what_is_dropped_at_that_moment(app, picture):
    """Whenever that happens: an answer is whole, or 404."""
    content, dropped = picture.read_bytes(), threading.Event()

    def ask_on(identity):
        seen = set()
        while not dropped.is_set():
            for part in ("", "/before", "/result"):
                try:
                    with urllib.request.urlopen(f"{app[0]}/api/jobs/{identity}{part}", timeout=PATIENCE) as answer:
                        answer.read()
                        seen.add(answer.status)
                except urllib.error.HTTPError as error:
                    seen.add(error.code)
        return seen

    with ThreadPoolExecutor(4) as clients:
        for delay in np.linspace(0, 0.3, 20):
            dropped.clear()
            _, job = send(app, content, name="a.png")
            asking = [clients.submit(ask_on, job["id"]) for _ in range(4)]
            time.sleep(delay)
            urllib.request.urlopen(urllib.request.Request(f"{app[0]}/api/jobs/{job['id']}", method="DELETE"))
            dropped.set()
            assert set().union(*(each.result() for each in asking)) <= {200, 404}
    assert "Traceback" not in (app[1] / "log").read_text()


def test_a_full_queue_sends_away(app):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)).save(buffer, "PNG")
    answers = [send(app, buffer.getvalue(), name="a.png") for _ in range(12)]
    refused = [answer for status, answer in answers if status == 503]
    assert refused, answers
    assert "try again in a minute" in refused[0]["detail"]
    for status, answer in answers:
        if status == 202:
            urllib.request.urlopen(
                urllib.request.Request(f"{app[0]}/api/jobs/{answer['id']}", method="DELETE"), timeout=PATIENCE
            )
