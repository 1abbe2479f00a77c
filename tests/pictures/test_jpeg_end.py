import io

import numpy as np
import pytest
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.jpeg_end import with_end
from sr_pipeline.pictures.reading import decode_picture


def jpeg(photograph, **options):
    buffer = io.BytesIO()
    Image.fromarray(photograph[:60, :100]).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def pixels(content):
    try:
        return np.asarray(Image.open(io.BytesIO(content)))
    except OSError:
        return np.empty(0)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
def test_only_the_end_mark_may_be_missing(photograph, options):
    content = jpeg(photograph, quality=92, **options)
    whole = pixels(content)
    for missing in (1, 2):
        assert np.array_equal(decode_picture(content[:-missing]).colour, whole)
    for missing in range(3, 60):
        ended = with_end(content[:-missing])
        if ended is not None:  # it may be that the last bits only fill up a byte
            assert np.array_equal(pixels(ended), whole)
        elif missing > 5:
            with pytest.raises(UserError, match=r"^is damaged or cut short$"):
                decode_picture(content[:-missing])
    assert with_end(content[:-20]) is None


def test_a_progressive_file_without_its_last_scan_is_not_whole(photograph):
    content = jpeg(photograph, progressive=True)
    last_scan = content.rindex(b"\xff\xda")
    cut = content[: content.rindex(b"\xff\xc4", 0, last_scan)]  # whole up to the tables of the last scan
    assert pixels(cut + b"\xff\xd9").shape == (60, 100, 3)
    assert with_end(cut) is None


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xda", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_other_files(content):
    assert with_end(content) is None


def test_the_shared_case(shared):
    content = (shared / "cases/upscale/cut_eoi.jpg").read_bytes()
    assert np.array_equal(decode_picture(content).colour, pixels(content + b"\xff\xd9"))
