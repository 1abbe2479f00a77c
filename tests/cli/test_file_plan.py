"""Which files become which."""

import click
import pytest

from sr_pipeline.cli.file_plan import plan
from sr_pipeline.cli.upscale import upscale
from sr_pipeline.errors import UserError
from sr_pipeline.pictures.writing import SUFFIXES


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name in ("a.jpg", "b.PNG", "c.bmp", "notes.txt", "d/e.webp", "d/.hidden/f.png", "d/g/h.gif", "-i.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path / "in")
    return tmp_path / "in"


def planned(*inputs, output=None, format_name=None):
    from pathlib import Path

    jobs = plan(list(inputs), None if output is None else Path(output), format_name).jobs
    return [(str(job.source), job.problem or str(job.target)) for job in jobs]


def test_results_lie_beside_files(here):
    assert planned("a.jpg", "b.PNG", "c.bmp", "-i.png") == [
        ("a.jpg", "a_x4.jpg"),
        ("b.PNG", "b_x4.PNG"),
        ("c.bmp", "c_x4.png"),  # BMP is not written
        ("-i.png", "-i_x4.png"),
    ]
    assert planned("a.jpg", format_name="png") == [("a.jpg", "a_x4.png")]
    assert planned("a.jpg", format_name="jpeg") == [("a.jpg", "a_x4.jpg")]


def test_another_folder_or_file(here):
    assert planned("a.jpg", output="out") == [("a.jpg", "out/a.jpg")]
    assert planned("a.jpg", output="out/big.png") == [("a.jpg", "out/big.png")]
    assert planned("a.jpg", output=".") == [("a.jpg", "a_x4.jpg")]  # not onto itself


def test_folders_keep_their_shape(here):
    found = planned("d")
    assert found == [("d/e.webp", f"{here}/d_x4/e.webp"), ("d/g/h.gif", f"{here}/d_x4/g/h.png")]
    assert planned("d", output="out") == [("d/e.webp", "out/e.webp"), ("d/g/h.gif", "out/g/h.png")]


def test_patterns(here):
    assert planned("*.jpg") == [("a.jpg", "a_x4.jpg")]
    assert [source for source, _ in planned("d/**/*.gif")] == ["d/g/h.gif"]
    (here / "[1].png").touch()
    assert planned("[1].png") == [("[1].png", "[1]_x4.png")]  # a name, not a pattern


def test_what_is_not_there_is_told(here):
    (here / "empty").mkdir()
    assert planned("x.png", "*.tif", "empty") == [
        ("x.png", "does not exist"),
        ("*.tif", "matches no file"),
        ("empty", "holds no pictures"),
    ]


def test_two_pictures_never_become_one(here):
    (here / "x").mkdir()
    (here / "x/e.webp").touch()
    clash = "is not enlarged: d/e.webp becomes out/e.webp as well"
    assert planned("d", "x/e.webp", output="out")[-1] == ("x/e.webp", clash)


def test_results_of_earlier_runs_are_left_out(here):
    """Or the same command given twice would enlarge what the first has made."""
    for name in ("a_x4.jpg", "c_x4.png", "lonely_x4.png", "d/large/e.webp", "d/large/g/h.png"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).touch()
    assert [source for source, _ in planned("*.jpg", "*.png")] == ["a.jpg", "-i.png", "lonely_x4.png"]
    assert plan(["*.jpg", "*.png"], None, None).earlier_results == 2
    assert [source for source, _ in planned("d", output="d/large")] == ["d/e.webp", "d/g/h.gif"]
    assert [source for source, _ in planned("d/**/*.webp", output="d/large")] == ["d/e.webp"]
    assert [source for source, _ in planned("d", output="out")] == [
        "d/e.webp",
        "d/g/h.gif",
        "d/large/e.webp",
        "d/large/g/h.png",
    ]
    assert planned("a_x4.jpg") == [("a_x4.jpg", "a_x4_x4.jpg")], "named, so it is meant"


def test_a_file_named_twice_counts_once(here):
    assert planned("a.jpg", "./a.jpg", "*.jpg", str(here / "a.jpg")) == [("a.jpg", "a_x4.jpg")]
    assert planned("a.jpg", "a.jpg", output="one.png") == [("a.jpg", "one.png")]


def test_other_names_of_jpeg_stay(here):
    (here / "p.jfif").touch()
    assert planned("p.jfif") == [("p.jfif", "p_x4.jfif")]


def test_heic_files_of_a_folder_are_named(here):
    (here / "d/IMG_1.HEIC").touch()
    assert planned("d")[0] == (
        "d/IMG_1.HEIC",
        "is a HEIC picture, which cannot be read; convert it to JPEG or PNG first",
    )


@pytest.mark.parametrize("letter", ["a", "漢"])
def test_names_longer_than_file_systems_allow(here, letter):
    fits = letter * ((255 - len("_x4.png")) // len(letter.encode()))
    assert planned_result(here, f"{fits}.png") == f"{fits}_x4.png"
    longest = letter * ((255 - len(".png")) // len(letter.encode()))
    assert "is not enlarged: the name of its result would have" in planned_result(here, f"{longest}.png")


def planned_result(here, name):
    (here / name).touch()
    return planned(name)[0][1]


@pytest.mark.parametrize(
    ("inputs", "output", "format_name", "sentence"),
    [
        (["a.jpg"], "big.bmp", None, r"big\.bmp: BMP files are not written; choose one of \.png, "),
        (["a.jpg", "b.PNG"], "one.png", None, "is a file, but there are 2 pictures"),
        (["a.jpg"], "one.png", "jpeg", "is not a jpeg file"),
        (["a.jpg"], "notes.txt", None, "is neither a folder nor a picture's name"),
    ],
)
def test_outputs_that_cannot_be(here, inputs, output, format_name, sentence):
    with pytest.raises(UserError, match=sentence):
        planned(*inputs, output=output, format_name=format_name)


def test_the_command_line_offers_all_formats():
    (option,) = (parameter for parameter in upscale.params if parameter.name == "format_name")
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == tuple(SUFFIXES)
