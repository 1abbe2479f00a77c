"""From file to file, with nearest neighbours in the network's place."""

import contextlib
import io
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.histogram import match_to_input
from sr_pipeline.inference.enlargement import Options, _spread_under, enlarge, enlarge_file
from sr_pipeline.pictures.metadata import Metadata
from sr_pipeline.pictures.reading import Picture


def nearest(pixels, out, progress):
    height = pixels.shape[0]
    for row in range(height):
        out[4 * row : 4 * row + 4, :] = np.broadcast_to(
            pixels[row].repeat(4, 0)[np.newaxis], (4, 4 * pixels.shape[1], 3)
        )
        progress(row + 1, height)


def smooth(pixels, out, progress):
    """Mixes neighbours, as a network does."""
    out[:, :] = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(out.shape[1::-1], 3))
    progress(1, 1)


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype)


def result_of(picture, upscale=nearest, **options):
    channels = (1 if picture.colour.ndim == 2 else 3) + (picture.alpha is not None)
    pixels = np.empty((4 * picture.colour.shape[0], 4 * picture.colour.shape[1], channels), picture.colour.dtype)
    told = []
    enlarge(picture, pixels, upscale, lambda done, total: told.append((done, total)), **options)
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    return pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("transparent", [False, True])
def test_all_channels_are_enlarged(dtype, gray, transparent):
    colour = noise(5, 7, dtype=dtype) if gray else noise(5, 7, 3, dtype=dtype)
    alpha = noise(5, 7, dtype=dtype) | 1 if transparent else None
    pixels = result_of(Picture(colour, alpha, Metadata()))
    expected = [colour[..., np.newaxis] if gray else colour] + ([alpha[..., np.newaxis]] if transparent else [])
    assert np.array_equal(pixels, np.concatenate(expected, -1).repeat(4, 0).repeat(4, 1))


def test_transparent_surroundings_leave_no_halo():
    """A red disc in a file that holds black where it is transparent stays red to its edge."""
    rows, columns = np.mgrid[:20, :20]
    inside = (rows - 10) ** 2 + (columns - 10) ** 2 < 50
    colour = np.zeros((20, 20, 3), np.uint8)
    colour[inside] = (200, 0, 0)
    picture = Picture(colour, np.where(inside, 255, 0).astype(np.uint8), Metadata())
    pixels = result_of(picture, smooth)
    seen = pixels[pixels[..., 3] > 0]
    assert (seen[:, :3] == (200, 0, 0)).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hidden_pixels_take_the_colour_of_the_nearest_in_their_row_or_column(dtype):
    """By a plain search; pixels whose row and column are all hidden take what the search gave to those around them."""
    rng = np.random.default_rng(3)
    for hidden_share in (0.2, 0.9, 0.99):
        alpha = (rng.random((17, 23)) > hidden_share).astype(dtype)
        alpha[3, 5] = 1
        colour = rng.integers(0, 256, (17, 23, 3)).astype(dtype)
        filled = _spread_under(colour, alpha)
        assert np.array_equal(filled[alpha > 0], colour[alpha > 0])
        for row, column in zip(*np.nonzero(alpha == 0), strict=True):
            seen = [(abs(r - row), r, column) for r in np.flatnonzero(alpha[:, column])]
            seen += [(abs(c - column), row, c) for c in np.flatnonzero(alpha[row])]
            nearest = [colour[r, c] for distance, r, c in seen if distance == min(seen)[0]]
            if not seen:  # then something that is seen
                nearest = colour[alpha > 0]
            assert any(np.array_equal(filled[row, column], value) for value in nearest)


def test_a_picture_that_is_hidden_as_a_whole_keeps_its_colours():
    colour = noise(4, 6, 3)
    assert np.array_equal(_spread_under(colour, np.zeros((4, 6), np.uint8)), colour)


@given(
    seed=st.integers(0, 99),
    shape=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    levels=st.integers(1, 256),
)
@settings(max_examples=50)
def test_matching_is_that_of_the_evaluation(seed, shape, levels):
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, levels, (*shape, 3)).astype(np.uint8)

    def darker(pixels, out, progress):
        nearest(pixels // 2 + 3, out, progress)

    picture = Picture(colour, None, Metadata())
    expected = match_to_input(result_of(picture, darker), colour)
    assert np.array_equal(result_of(picture, darker, match_histogram=True), expected)


def test_large_results_go_through_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("sr_pipeline.pictures.writing._IN_MEMORY", 0)
    source = tmp_path / "a.png"
    Image.fromarray(noise(30, 40, 3)).save(source)
    for name in ("a_x4.png", "a_x4.jpg", "a_x4.tif"):
        done = enlarge_file(source, tmp_path / name, nearest, Options(match_histogram=True), print_nothing)
        assert done.size == Image.open(tmp_path / name).size == (160, 120)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a_x4.jpg", "a_x4.png", "a_x4.tif"]


def print_nothing(done, total):
    pass


def test_nothing_is_overwritten_unasked(tmp_path):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    Image.fromarray(noise(6, 6, 3)).save(source)
    target.write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        enlarge_file(source, target, nearest, Options(), print_nothing)
    assert target.read_text() == "mine"
    enlarge_file(source, target, nearest, Options(overwrite=True), print_nothing)
    assert Image.open(target).size == (24, 24)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interruption_leaves_nothing(tmp_path, error, monkeypatch):
    monkeypatch.setattr("sr_pipeline.pictures.writing._IN_MEMORY", 0)
    source = tmp_path / "a.png"
    Image.fromarray(noise(6, 6, 3)).save(source)

    def interrupted(pixels, out, progress):
        raise error

    with pytest.raises(error):
        enlarge_file(source, tmp_path / "b.png", interrupted, Options(), print_nothing)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("before", ["", "del os.posix_fallocate"], ids=["Linux", "macOS"])
def test_a_full_disk_is_told_of(tmp_path, before):
    """Both the room for pixels and the file itself: a file may not become longer than the limit."""
    Image.fromarray(noise(60, 60, 3)).save(tmp_path / "a.png")
    program = (
        "import os, resource, signal, sys\n"
        f"{before}\n"
        "from pathlib import Path\n"
        "import sr_pipeline.pictures.writing as writers\n"
        "from sr_pipeline.errors import UserError\n"
        "from sr_pipeline.inference.enlargement import Options, enlarge_file\n"
        "from tests.inference.test_enlargement import nearest, print_nothing\n"
        "writers._IN_MEMORY = int(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    enlarge_file(Path('a.png'), Path('b.png'), nearest, Options(), print_nothing)\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    for in_memory in ("0", "1000000"):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", program, in_memory],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "cannot be written to b.png (File too large)\n"
        assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_folder_that_cannot_be_written(tmp_path):
    Image.fromarray(noise(6, 6, 3)).save(tmp_path / "a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"):
        enlarge_file(tmp_path / "a.png", tmp_path / "file" / "b.png", nearest, Options(), print_nothing)


@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]))
@settings(max_examples=300)
def test_damaged_files_are_enlarged_whole_or_refused(tmp_path_factory, data, kind):
    folder = tmp_path_factory.mktemp("fuzz")
    buffer = io.BytesIO()
    Image.fromarray(noise(9, 11, 3)).save(buffer, kind)
    content = bytearray(buffer.getvalue())
    places = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for place, value in data.draw(st.lists(places, max_size=10)):
        content[place] = value
    source, target = folder / "a", folder / "b.png"
    source.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with contextlib.suppress(UserError):
        enlarge_file(source, target, nearest, Options(), print_nothing)
    if target.exists():
        Image.open(target).load()
    left = {path.name for path in folder.iterdir()}
    assert left in ({"a"}, {"a", "b.png"})
