import io
import os

import pytest
from PIL import Image

from sr_pipeline.serving.job_queue import JobQueue
from tests.inference.test_enlargement import nearest


class Models:
    def listed(self):
        return [{"name": "nearest", "label": "nearest"}]

    def open(self, name):
        return nearest


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
    buffer = io.BytesIO()
    Image.new("RGBA", (9, 7), (1, 2, 3, 100)).save(buffer, "PNG")
    queue = JobQueue(tmp_path, Models())
    job = queue.take(name, buffer.getvalue(), "nearest", match_histogram=False)
    queue.close()
    queue._thread.join()
    assert job.state == "done", job.error
    assert job.target.name == kept
    assert len(os.fsencode(kept)) <= 255
    assert job.status(0)["bytes"] > 0
