import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.serving.job_queue import MAX_WAITING, BusyError, JobQueue
from tests.conftest import PATIENCE
from tests.inference.test_enlargement import nearest


class Models:
    def __init__(self, upscale=nearest):
        self.upscale = upscale

    def listed(self):
        return [{"name": "nearest", "label": "nearest"}]

    def open(self, name):
        return self.upscale


class Slow:
    """Enlarges as long as it may, and counts its tiles."""

    def __init__(self):
        self.started, self.released, self.tiles = threading.Event(), threading.Event(), 0

    def __call__(self, pixels, out, progress):
        self.started.set()
        while not self.released.is_set():
            time.sleep(0.01)
            self.tiles += 1
            progress(1, 2)
        nearest(pixels, out, progress)


@pytest.fixture
def slow(tmp_path):
    """A queue whose worker is busy, its upscaler, and what takes a picture."""
    upscale = Slow()
    queue = JobQueue(tmp_path, Models(upscale))
    yield queue, upscale
    upscale.released.set()
    queue.close()
    queue._thread.join()


def take(queue, content=None, **options):
    return queue.take("a.png", content or encoded(), "nearest", **{"match_histogram": False} | options)


def encoded(mode="RGB", colour=100, size=(9, 7), **options):
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG", **options)
    return buffer.getvalue()


def wait_for(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_of_many_at_once_no_more_than_the_limit_are_taken(slow):
    queue, _ = slow
    together = threading.Barrier(20)

    def send(_):
        together.wait()
        try:
            return take(queue)
        except BusyError:
            return None

    with ThreadPoolExecutor(20) as pool:
        taken = [job for job in pool.map(send, range(20)) if job]
    assert len(taken) == MAX_WAITING
    with pytest.raises(BusyError, match=r"^Many pictures are waiting; try again in a minute\.$"):
        take(queue)
    queue.forget(taken[-1].id)
    assert take(queue), "a place is free again"


def test_a_dropped_picture_is_not_computed_on(slow, tmp_path):
    queue, upscale = slow
    first, second = take(queue), take(queue)
    assert upscale.started.wait(PATIENCE)
    queue.forget(first.id)
    wait_for(lambda: second.state == "running")
    upscale.released.set()
    wait_for(lambda: second.state == "done")
    assert not first.folder.exists()
    assert [folder.name for folder in tmp_path.iterdir()] == [second.id]


def test_a_dropped_picture_whose_file_is_written_holds_up_nobody(tmp_path, monkeypatch):
    """Writing cannot be stopped, and takes half a minute for the largest."""
    from sr_pipeline.inference import enlargement

    writing, released = threading.Event(), threading.Event()

    def write(partial, *arguments):
        if not writing.is_set():
            writing.set()
            assert released.wait(PATIENCE)
        return write_picture(partial, *arguments)

    write_picture = enlargement.write_picture
    monkeypatch.setattr(enlargement, "write_picture", write)
    queue = JobQueue(tmp_path, Models())
    first = take(queue)
    assert writing.wait(PATIENCE)
    queue.forget(first.id)
    second = take(queue)
    wait_for(lambda: second.state == "done")
    released.set()
    wait_for(lambda: [folder.name for folder in tmp_path.iterdir()] == [second.id])
    queue.close()


def test_files_that_are_being_sent_stay_until_they_are(tmp_path):
    queue = JobQueue(tmp_path, Models())
    job = take(queue)
    wait_for(lambda: job.state == "done")
    with queue.reading(job.id), queue.reading(job.id):
        queue.forget(job.id)
        assert job.target.is_file()
        with pytest.raises(KeyError):
            queue.find(job.id)
    assert not job.folder.exists()
    assert queue.position(job) == 0
    with pytest.raises(KeyError), queue.reading(job.id):
        pytest.fail("it is gone")
    queue.close()


def test_the_end_stops_what_is_computed(slow, tmp_path):
    queue, upscale = slow
    running, waiting = take(queue), take(queue)
    assert upscale.started.wait(PATIENCE)
    queue.close()
    assert (running.state, waiting.state) == ("dropped", "dropped")
    queue._thread.join()
    assert list(tmp_path.iterdir()) == []


def test_without_room_on_the_disk_a_sentence_says_so_and_nothing_stays(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sr_pipeline.serving.job_files.write_png", full)
    queue = JobQueue(tmp_path, Models())
    with pytest.raises(BusyError, match=r"^There is no room for the picture here \(No space left on device\)\.$"):
        take(queue)
    queue.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "size", "kind", "kept"),
    [
        ("a.jpg", (16_375, 1), "JPEG", "a_x4.jpg"),
        ("a.jpg", (16_376, 1), "JPEG", "a_x4.png"),
        ("a.webp", (1, 4095), "WEBP", "a_x4.webp"),
        ("a.webp", (1, 4096), "WEBP", "a_x4.png"),
    ],
)
def test_what_the_format_cannot_hold_becomes_png(tmp_path, name, size, kind, kept):
    """The page offers no choice of formats."""
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind)
    queue = JobQueue(tmp_path, Models())
    job = queue.take(name, buffer.getvalue(), "nearest", match_histogram=False)
    wait_for(lambda: job.state not in ("waiting", "running"))
    assert (job.error, job.target.name) == (None, kept)
    with Image.open(job.target) as result:
        assert result.size == tuple(4 * edge for edge in size)
    queue.close()


def test_dropped_while_it_is_read_nothing_is_left(tmp_path):
    """Whenever that happens: no folder comes back with a result that nobody owns."""
    queue = JobQueue(tmp_path, Models())
    for delay in np.linspace(0, 0.02, 30):
        job = take(queue)
        time.sleep(delay)
        queue.forget(job.id)
    queue.close()
    queue._thread.join()
    assert list(tmp_path.iterdir()) == []


def test_what_is_too_large_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("sr_pipeline.serving.job_queue.decode_picture", lambda content: pytest.fail("decoded"))
    queue = JobQueue(tmp_path, Models())
    with pytest.raises(UserError, match=r"is too large \(3000x2000\); here, at most 4 megapixels"):
        take(queue, encoded("1", 0, (3000, 2000)))
    queue.close()
    assert list(tmp_path.iterdir()) == []


def test_a_picture_with_damaged_extras_is_taken_as_upscale_does(tmp_path):
    from tests.serving.test_requests import damaged_extras

    queue = JobQueue(tmp_path, Models())
    job = take(queue, damaged_extras(encoded()))
    wait_for(lambda: job.state not in ("waiting", "running"))
    assert (job.state, job.size) == ("done", (36, 28))
    queue.close()


def test_no_two_pictures_are_decoded_at_once(tmp_path, monkeypatch):
    from sr_pipeline.pictures.reading import decode_picture

    busy, most = [], []

    def decode(content):
        busy.append(1)
        most.append(len(busy))
        time.sleep(0.01)
        busy.pop()
        return decode_picture(content)

    monkeypatch.setattr("sr_pipeline.serving.job_queue.decode_picture", decode)
    queue = JobQueue(tmp_path, Models())
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: take(queue), range(6)))
    queue.close()
    assert max(most) == 1


def test_a_model_that_is_not_offered_is_refused_at_once(tmp_path):
    queue = JobQueue(tmp_path, Models())
    with pytest.raises(UserError, match="does not offer that model"):
        queue.take("a.png", encoded(), "/etc/passwd", match_histogram=False)
    queue.close()


def test_the_picture_before_has_profile_and_transparency(slow):
    """Or the slider would show a shift that the enlargement does not have."""
    from PIL import ImageCms

    queue, _ = slow
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    job = take(queue, encoded("RGBA", (200, 100, 50, 128), icc_profile=profile))
    with Image.open(job.folder / "before.png") as before:
        assert before.info["icc_profile"] == profile
        assert before.convert("RGBA").getpixel((3, 3)) == (200, 100, 50, 128)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.png", "a_x4.png"),
        ("a.b.jpg", "a.b_x4.png"),
        ("\u6f22" * 80 + ".png", "\u6f22" * 66 + "_x4.png"),
        ("a\0b\n.png", "ab_x4.png"),
        ("\0.png", "picture_x4.png"),
        (".png", ".png_x4.png"),
    ],
)
def test_names_from_browsers_become_names_of_files(tmp_path, name, kept):
    """Whatever they hold, and however many bytes their characters have."""
    queue = JobQueue(tmp_path, Models())
    job = queue.take(name, encoded("RGBA", (1, 2, 3, 100)), "nearest", match_histogram=False)
    wait_for(lambda: job.state not in ("waiting", "running"))
    assert job.state == "done", job.error
    assert job.target.name == kept
    assert len(os.fsencode(kept)) <= 255
    assert job.status(0)["bytes"] == job.target.stat().st_size
    queue.close()
