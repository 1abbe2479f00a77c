import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.sources.folder import read_folder, split_of
from sr_pipeline.sources.parameters import FolderParameters
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
    from upath import UPath

    root = UPath("memory://photographs")
    for number in range(9):
        with (root / f"{number}.png").open("wb") as file:
            Image.new("RGB", (99, 99)).save(file, "PNG")
    photographs = read_folder(FolderParameters(path="memory://photographs", val_fraction=0.4), EVERYTHING)
    assert len(photographs) == 9
    assert all(photograph.file.read_bytes().startswith(b"\x89PNG") for photograph in photographs)
