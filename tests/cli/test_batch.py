"""Batches of odd files: whatever is wrong with one, the others are done."""

import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sr_pipeline.cli import batch
from sr_pipeline.cli.batch import Batch, enlarge_all
from sr_pipeline.cli.file_plan import plan
from sr_pipeline.inference.enlargement import Options
from tests.inference.test_enlargement import nearest


def encoded(kind, mode="RGB", size=(9, 7), **options):
    buffer = io.BytesIO()
    Image.new(mode, size, 100).save(buffer, kind, **options)
    return buffer.getvalue()


contents = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda content, at, by: content[:at] + by + content[at + len(by) :],
        st.sampled_from([encoded(kind) for kind in ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF")]),
        st.integers(0, 150),
        st.binary(min_size=1, max_size=8),
    ),
    st.builds(lambda size: encoded("JPEG", exif=b"Exif\0\0" + bytes(size)), st.integers(0, 65_000)),
    st.builds(lambda size: encoded("PNG", exif=b"Exif\0\0MM\0*" + bytes(size)), st.integers(0, 200_000)),
)
# What Linux allows: any bytes but two; here without the dot that hides a file.
names = st.binary(min_size=1, max_size=251).map(lambda name: name.replace(b"/", b"_").replace(b"\0", b"_"))
endings = st.sampled_from([b".png", b".jpg", b".webp", b".tif", b".bmp"])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not UTF-8")
@settings(max_examples=60)
@given(st.lists(st.tuples(names, endings, contents), min_size=1, max_size=4))
def test_the_others_are_done(files):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "in"
        folder.mkdir()
        for name, ending, content in files:
            name = (b"a" + name)[: 255 - len(ending)] + ending  # noqa: PLW2901
            (folder / os.fsdecode(name)).write_bytes(content)
        (folder / "zz good.png").write_bytes(encoded("PNG"))
        jobs = plan([str(folder)], folder.parent / "out", None).jobs
        output = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batch.click, "echo", lambda text, err=False: output.write(text))
            enlarge_all(Batch(jobs, Options(), as_json=True), lambda: nearest)
        results = json.loads(output.getvalue())
        assert len(results) == len(list(folder.iterdir()))
        for result in results:
            assert ("error" in result) != ("output" in result)
            if "output" in result:
                with Image.open(result["output"]) as picture:
                    assert picture.size == (result["width"], result["height"])
        assert (folder.parent / "out/zz good.png").is_file()
        written = {os.fsencode(file.name) for file in (folder.parent / "out").iterdir()}
        assert len(written) == sum("output" in result for result in results), "nothing half-written is left"


def test_of_two_that_would_become_one_the_second_is_left_out(tmp_path, capsys):
    (tmp_path / "a.bmp").write_bytes(encoded("BMP", size=(9, 7)))
    (tmp_path / "a.gif").write_bytes(encoded("GIF", size=(8, 8)))
    jobs = plan([str(tmp_path)], tmp_path / "out", None).jobs
    assert not enlarge_all(Batch(jobs, Options(overwrite=True), as_json=False), lambda: nearest)
    assert f"{jobs[1].source} is not enlarged: {jobs[0].source} becomes" in capsys.readouterr().err
    with Image.open(tmp_path / "out/a.png") as picture:
        assert picture.size == (36, 28)


def test_an_error_that_nobody_foresaw(tmp_path, capsys):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded("PNG"))

    def fail_once(pixels, out, progress):
        if not failed:
            failed.append(True)
            raise RuntimeError("out of\nluck")
        nearest(pixels, out, progress)

    failed = []
    jobs = plan([str(tmp_path)], tmp_path / "out", None).jobs
    assert not enlarge_all(Batch(jobs, Options(), as_json=False), lambda: fail_once)
    said = capsys.readouterr()
    assert "a.png cannot be enlarged (RuntimeError: out of luck)" in said.err
    assert "b.png (36x28" in said.out
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["b.png"]


def test_exif_too_long_for_the_format_is_left_out_and_said(tmp_path, capsys):
    exif = Image.Exif()
    exif[0x010E] = "x" * 120_000  # ImageDescription
    (tmp_path / "long.png").write_bytes(encoded("PNG", exif=exif))
    jobs = plan([str(tmp_path)], tmp_path / "out", "jpeg").jobs
    assert enlarge_all(Batch(jobs, Options(), as_json=False), lambda: nearest)
    assert ", without its EXIF, which is too long for JPEG (1200" in capsys.readouterr().out
    with Image.open(tmp_path / "out/long.jpg") as picture:
        assert picture.size == (36, 28)
        assert not picture.getexif()
    as_png = plan([str(tmp_path)], tmp_path / "png", "png").jobs
    enlarge_all(Batch(as_png[:1], Options(), as_json=True), lambda: nearest)
    with Image.open(tmp_path / "png/long.png") as picture:
        assert picture.getexif()[0x010E] == "x" * 120_000


def test_the_shared_cases_of_long_exif(shared, tmp_path):
    jobs = plan(
        [str(shared / f"cases/upscale/{name}") for name in ("exif_120k.png", "exif_brimful.jpg")], tmp_path, "jpeg"
    )
    assert enlarge_all(Batch(jobs.jobs, Options(), as_json=True), lambda: nearest)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not UTF-8")
def test_names_that_are_not_utf8_under_a_strict_output(tmp_path):
    """As in many containers and cron jobs; a progress bar is not in the way."""
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes(encoded("PNG"))
    program = (
        "import sys; from pathlib import Path\n"
        "from sr_pipeline.cli.batch import Batch, enlarge_all\n"
        "from sr_pipeline.cli.file_plan import plan\n"
        "from sr_pipeline.inference.enlargement import Options\n"
        "from tests.inference.test_enlargement import nearest\n"
        "jobs = plan([sys.argv[1]], Path(sys.argv[1]) / 'out', None).jobs\n"
        "sys.exit(not enlarge_all(Batch(jobs, Options(), as_json=False), lambda: nearest))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "caf\N{REPLACEMENT CHARACTER}.png -> " in done.stdout.decode()
    assert (tmp_path / "out" / name).is_file()


def test_a_link_stays_and_leads_to_the_result(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    (tmp_path / "real").mkdir()
    old = tmp_path / "real/old.png"
    old.write_bytes(encoded("PNG"))
    (tmp_path / "link.png").symlink_to(old)
    jobs = plan([str(tmp_path / "a.png")], tmp_path / "link.png", None).jobs
    assert enlarge_all(Batch(jobs, Options(overwrite=True), as_json=True), lambda: nearest)
    assert (tmp_path / "link.png").is_symlink()
    with Image.open(old) as picture:
        assert np.asarray(picture).shape[:2] == (28, 36)
