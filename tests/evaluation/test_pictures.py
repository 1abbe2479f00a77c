import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.parameters import EvaluateParameters
from sr_pipeline.evaluation.pictures import check_benchmarks, describe_sets, list_pictures, pictures_of


def manifest(**changes):
    rows = [
        {"id": 10 - n, "file": f"photos/{n}.png", "split": split, "status": status}
        for n, (split, status) in enumerate([("val", "ok"), ("train", "ok"), ("val", "truncated"), ("val", "ok")])
    ]
    return pd.DataFrame(rows).assign(**{"sha256": "abc", "mode": "RGB", "width": 100, "height": 100, **changes})


@pytest.fixture
def folder(tmp_path, photograph):
    folder = tmp_path / "bench"
    (folder / "deep").mkdir(parents=True)
    Image.fromarray(photograph[:40, :40]).save(folder / "colour.png")
    Image.fromarray(photograph[:40, :40]).convert("L").save(folder / "gray.png")
    Image.fromarray(photograph[:40, :40, 0].astype(np.uint16) * 257).save(folder / "gray16.png")
    Image.fromarray(photograph[:40, :40]).convert("RGBA").save(folder / "opaque.png")
    see_through = Image.fromarray(photograph[:40, :40]).convert("RGBA")
    see_through.putalpha(99)
    see_through.save(folder / "see_through.png")
    Image.fromarray(photograph[:19, :40]).save(folder / "tiny.png")
    Image.fromarray(photograph[:20, :20]).save(folder / "deep" / "colour.png")
    (folder / "broken.png").write_bytes((folder / "colour.png").read_bytes()[:500])
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_usable_held_out_photographs_by_id():
    listed = list_pictures(manifest(), EvaluateParameters(), seed=0)
    assert [picture.key for picture in pictures_of(listed)] == ["val/3", "val/0"]


def test_equal_names_are_told_apart():
    listed = list_pictures(manifest(file=["a/x.jpg", "t.jpg", "u.jpg", "b/x.jpg"]), EvaluateParameters(), seed=0)
    assert [picture.image for picture in pictures_of(listed)] == ["x_7", "x_10"]


def test_fewer_held_out_photographs_are_some_of_more():
    images = manifest().iloc[[0] * 40].assign(id=range(40), file=[f"{n}.png" for n in range(40)])

    def chosen(count, seed):
        listed = list_pictures(images, EvaluateParameters(max_images=count), seed)
        return {picture.file for picture in pictures_of(listed)}

    assert [len(chosen(count, 4)) for count in (3, 7, 100)] == [3, 7, 40]
    assert chosen(3, 4) < chosen(7, 4)
    assert chosen(3, 4) != chosen(3, 5)


def test_a_benchmark_names_and_counts_what_it_leaves_out(folder):
    listed = list_pictures(manifest(), EvaluateParameters(benchmarks={"bench": folder}), seed=0)
    bench = listed[listed["set"] == "bench"].set_index("image")
    assert bench["status"].to_dict() == {
        "broken": "truncated",
        "colour": "ok",
        "deep_colour": "ok",
        "gray": "ok",
        "gray16": "ok",
        "opaque": "ok",
        "see_through": "transparent",
        "tiny": "smaller than 20 pixels",
    }
    assert bench["gray"].to_dict() == {name: name in ("gray", "gray16") for name in bench.index}
    facts = describe_sets(listed)["bench"]
    assert facts["pictures"] == 5
    assert facts["left_out"] == {
        "broken": "truncated",
        "see_through": "transparent",
        "tiny": "smaller than 20 pixels",
    }
    for picture in pictures_of(listed)[2:]:
        original = picture.original(raw_gray=True)
        assert original.raw_gray == picture.gray
        assert original.lr.shape == (original.hr.shape[0] // 4, original.hr.shape[1] // 4, 3)


def test_the_hash_of_a_set_follows_its_content(folder):
    def digest():
        listed = list_pictures(manifest(), EvaluateParameters(benchmarks={"bench": folder}), seed=0)
        return {name: facts["sha256"] for name, facts in describe_sets(listed).items()}

    before = digest()
    assert digest() == before
    (folder / "gray.png").unlink()
    after = digest()
    assert after["val"] == before["val"]
    assert after["bench"] != before["bench"]


def test_nothing_to_measure_on(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(UserError, match=r"none of the 1 pictures of bench can be measured \(undecodable: 1\)"):
        list_pictures(manifest(), EvaluateParameters(benchmarks={"bench": tmp_path}), seed=0)


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("missing", None, "evaluate.benchmarks.missing: there is no folder"),
        ("empty", ["notes.txt"], "evaluate.benchmarks.empty: there is no picture in"),
        ("val", ["a.png"], "'val' is the name of the held-out photographs; choose another"),
    ],
)
def test_folders_are_checked_before_anything_runs(tmp_path, name, files, message):
    folder = tmp_path / name
    for file in files or []:
        folder.mkdir()
        (folder / file).touch()
    with pytest.raises(UserError, match=message):
        check_benchmarks({name: folder})


def test_a_file_that_changed_since_it_was_listed(folder):
    listed = list_pictures(manifest(), EvaluateParameters(benchmarks={"bench": folder}), seed=0)
    (folder / "colour.png").write_text("gone")
    colour = next(picture for picture in pictures_of(listed) if picture.key == "bench/colour")
    with pytest.raises(UserError, match=r"colour\.png can no longer be used \(undecodable\)"):
        colour.original()
