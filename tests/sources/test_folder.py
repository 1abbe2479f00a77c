import datetime
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from upath import UPath

from sr_pipeline.errors import UserError
from sr_pipeline.sources.coco import check_split
from sr_pipeline.sources.folder import read_folder, split_of
from sr_pipeline.sources.parameters import CocoSplit, FolderParameters
from sr_pipeline.sources.photograph import Selection

EVERYTHING = Selection(seed=0)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "photographs"
    (root / "below/deeper").mkdir(parents=True)
    (root / ".hidden").mkdir()
    for number in range(20):
        (root / f"below/{number}.jpg").touch()
    for name in ("a.PNG", "below/deeper/b.webp", ".hidden/c.jpg", "below/._d.jpg", "notes.txt", "film.mp4"):
        (root / name).touch()
    return root


def by_name(photographs, root):
    return {photograph.file.relative_to(root).as_posix(): photograph for photograph in photographs}


def test_every_picture_below_it_and_nothing_else(folder):
    photographs = read_folder(FolderParameters(path=folder, val_fraction=0.3), EVERYTHING)
    assert set(by_name(photographs, folder)) == {"a.PNG", "below/deeper/b.webp"} | {f"below/{n}.jpg" for n in range(20)}
    assert {photograph.split for photograph in photographs} == {"train", "val"}
    assert len({photograph.id for photograph in photographs}) == 22


def test_ids_and_splits_stay_when_others_go_or_the_folder_moves(folder, tmp_path):
    parameters = FolderParameters(path=folder, val_fraction=0.3)
    before = by_name(read_folder(parameters, EVERYTHING), folder)
    moved = folder.rename(tmp_path / "moved")
    (moved / "below/7.jpg").unlink()
    (moved / "below/new.jpg").touch()
    after = by_name(read_folder(FolderParameters(path=moved, val_fraction=0.3), EVERYTHING), moved)
    for name in before.keys() - {"below/7.jpg"}:
        assert (after[name].id, after[name].split) == (before[name].id, before[name].split)


def test_a_subset_of_each_split(folder):
    photographs = read_folder(FolderParameters(path=folder, val_fraction=0.3), Selection(seed=0, max_images=2))
    assert [photograph.split for photograph in photographs] == ["train", "train", "val", "val"]


@given(st.text(min_size=1), st.floats(0.01, 0.98), st.floats(0.001, 0.01))
def test_more_held_out_contains_fewer(name, fraction, more):
    assert split_of(name, fraction) in ("train", "val")
    if split_of(name, fraction) == "val":
        assert split_of(name, fraction + more) == "val"


def listed_below(folder):
    return set(by_name(read_folder(FolderParameters(path=folder, val_fraction=0.3), EVERYTHING), folder))


def test_links_to_folders_are_followed_and_loops_end(folder, tmp_path, caplog):
    caplog.set_level("INFO")
    before = listed_below(folder)
    outside = tmp_path / "outside"
    (outside / "far").mkdir(parents=True)
    (outside / "far/x.jpg").touch()
    (outside / "far/back").symlink_to(folder, target_is_directory=True)
    (folder / "abroad").symlink_to(outside, target_is_directory=True)
    (folder / "below/loop").symlink_to("..", target_is_directory=True)
    (folder / "a_second_name").symlink_to("below", target_is_directory=True)
    (folder / ".hidden_link").symlink_to(outside, target_is_directory=True)
    assert listed_below(folder) == before | {"abroad/far/x.jpg"}
    assert "abroad is a link to a folder, whose pictures are taken" in caplog.text
    assert "a_second_name leads to a folder that is listed already; left out" in caplog.text
    assert "below/loop leads to a folder that is listed already" in caplog.text


def test_a_folder_of_links_and_a_link_to_the_folder(folder, tmp_path):
    farm = tmp_path / "farm"
    farm.mkdir()
    for number in range(9):
        (farm / f"{number}.jpg").symlink_to(folder / f"below/{number}.jpg")
    (farm / "gone.jpg").symlink_to(tmp_path / "not there.jpg")
    (tmp_path / "link").symlink_to(farm, target_is_directory=True)
    names = {f"{number}.jpg" for number in range(9)} | {"gone.jpg"}
    assert listed_below(farm) == names
    assert listed_below(tmp_path / "link") == names


@pytest.mark.skipif(os.name == "nt", reason="there are no such pipes there")
def test_pipes_are_left_out_and_links_to_themselves_are_listed(folder):
    before = listed_below(folder)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "itself.jpg").symlink_to("itself.jpg")
    assert listed_below(folder) == before | {"itself.jpg"}


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_a_name_that_is_not_utf_8_is_listed(folder):
    latin = os.fsdecode(b"caf\xe9.jpg")
    (folder / latin).touch()
    photographs = read_folder(FolderParameters(path=folder, val_fraction=0.3), EVERYTHING)
    assert latin in by_name(photographs, folder)
    assert len({photograph.id for photograph in photographs}) == 23


@pytest.mark.parametrize("written", ["~/photos", "$HOME/photos", "${HOME}/photos"])
def test_home_is_filled_in(tmp_path, monkeypatch, written):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert FolderParameters(path=written).path == UPath(tmp_path / "photos")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (2014, "2014"),
        (datetime.date(2014, 5, 1), "2014-05-01"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("$UNSET_/a", None),
    ],
)
def test_names_that_yaml_or_a_shell_would_read_otherwise(written, meant):
    assert str(FolderParameters(path=written).path) == (meant or written)


@pytest.mark.parametrize("written", [["a"], True, "", {"a": 1}])
def test_what_is_not_a_path(written):
    with pytest.raises(ValidationError) as caught:
        FolderParameters(path=written)
    [error] = caught.value.errors()
    assert error["loc"] == ("path",)
    assert "a path or an address should be here" in error["msg"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://127.0.0.1:9/a", "Cannot connect to host 127"),
        ("ftp://127.0.0.1:9/a", "Connection refused|refused"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_reached(address, reason):
    with pytest.raises(UserError, match=rf"cannot be reached \(.*({reason}).*; check it, or set ingest\.folder\.path"):
        read_folder(FolderParameters(path=address), EVERYTHING)
    splits = {"images": address, "annotations": address}
    with pytest.raises(
        UserError, match=rf"cannot be reached \(.*({reason}).*; check it, or set ingest\.coco\.val\.images"
    ):
        check_split("val", CocoSplit(**splits))


def test_storage_whose_package_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(
        UserError, match=r"s3://bucket/a cannot be reached \(.*s3fs.*; check it, or set ingest\.folder\.path"
    ):
        read_folder(FolderParameters(path="s3://bucket/a"), EVERYTHING)
    with pytest.raises(ValidationError, match="no kind of storage has such addresses"):
        FolderParameters(path="nosuch://a/b")


def test_the_share_that_is_held_out():
    held_out = sum(split_of(f"{number}.jpg", 0.2) == "val" for number in range(5000))
    assert held_out == pytest.approx(1000, abs=120)  # four standard deviations


def test_what_is_wrong_is_said(folder, tmp_path):
    with pytest.raises(UserError, match=r"needs ingest\.folder\.path"):
        read_folder(FolderParameters(), EVERYTHING)
    with pytest.raises(UserError, match=r"there is no folder .*gone; set ingest\.folder\.path"):
        read_folder(FolderParameters(path=tmp_path / "gone"), EVERYTHING)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"there is no picture in .*empty or below"):
        read_folder(FolderParameters(path=tmp_path / "empty"), EVERYTHING)
    with pytest.raises(UserError, match=r"none of the 22 photographs .* falls to split 'val'; raise ingest\.folder"):
        read_folder(FolderParameters(path=folder, val_fraction=0.001), EVERYTHING)


def test_photographs_from_memory_storage():
    root = UPath("memory://photographs")
    for number in range(9):
        with (root / f"{number}.png").open("wb") as file:
            Image.new("RGB", (99, 99)).save(file, "PNG")
    photographs = read_folder(FolderParameters(path="memory://photographs", val_fraction=0.4), EVERYTHING)
    assert len(photographs) == 9
    assert all(photograph.file.read_bytes().startswith(b"\x89PNG") for photograph in photographs)
