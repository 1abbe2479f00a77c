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
    facts = describe_sets(listed)["bench"]
    assert facts["pictures"] == 5
    assert facts["left_out"] == {
        "broken": "truncated",
        "see_through": "transparent",
        "tiny": "smaller than 20 pixels",
    }
    for picture in pictures_of(listed)[2:]:
        original = picture.original(gray="stored")
        assert original.raw_gray == (picture.image in ("gray", "gray16"))
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


def listed_of(folder, **changes):
    parameters = EvaluateParameters(benchmarks={"b": folder}, **changes)
    return pictures_of(list_pictures(manifest().iloc[:0], parameters, seed=0))


def test_gray_pictures_are_scored_as_gray_whatever_the_mode_of_their_file(tmp_path, photograph):
    gray = Image.fromarray(photograph[:40, :40]).convert("L")
    gray.save(tmp_path / "gray.png")
    gray.convert("RGB").save(tmp_path / "gray_as_rgb.png")
    Image.fromarray(photograph[:40, :40]).save(tmp_path / "colour.png")
    pictures = {picture.image: picture for picture in listed_of(tmp_path)}
    raw = {name: picture.original(gray="raw") for name, picture in pictures.items()}
    assert {name: original.raw_gray for name, original in raw.items()} == {
        "gray": True,
        "gray_as_rgb": True,
        "colour": False,
    }
    assert raw["gray_as_rgb"].y == pytest.approx(np.asarray(gray)[4:-4, 4:-4])
    assert pictures["gray"].original(gray="stored").raw_gray
    assert not pictures["gray_as_rgb"].original(gray="stored").raw_gray
    assert not any(picture.original().raw_gray for picture in pictures.values())


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
def test_sixteen_bits_are_rounded(tmp_path, suffix):
    """160 * 257 + 200 is 160.78 of 255 levels: 161; its upper byte alone is 160."""
    import png
    import tifffile

    values = np.full((40, 40, 3), 160 * 257 + 200, np.uint16)
    file = tmp_path / f"deep{suffix}"
    if suffix == ".png":
        with file.open("wb") as stream:
            png.Writer(40, 40, greyscale=False, bitdepth=16).write(stream, values.reshape(40, 120).tolist())
    elif suffix == ".tif":
        tifffile.imwrite(file, values, photometric="rgb")
    else:
        file.write_bytes(b"P6 40 40 65535\n" + values.astype(">u2").tobytes())
    [picture] = listed_of(tmp_path)
    assert (picture.original().hr == 161).all()


@pytest.mark.parametrize("name", ["same", "collide"])
def test_names_that_meet(shared, name):
    """x/y.png and x_y.png: two pictures, each with its own name and content."""
    pictures = listed_of(shared / "cases/pipeline/benchmarks" / name)
    assert len(pictures) == len({picture.image for picture in pictures}) == 2
    assert len({picture.file for picture in pictures}) == 2


def test_names_are_unique_whatever_files_are_called(tmp_path, photograph):
    for path in ("x/y.png", "x_y.png", "x_y_png.png", "x/y.jpg", "X/Y.png", "x_y_png_png.png"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.fromarray(photograph[:40, :40]).save(tmp_path / path)
    names = [picture.image for picture in listed_of(tmp_path)]
    assert len({name.casefold() for name in names}) == len(list(tmp_path.rglob("*.*g")))
    assert names == [picture.image for picture in listed_of(tmp_path)], "and the same each time"


def test_held_out_photographs_that_meet():
    """x_7 is the name of one file and, with its id, that of another."""
    images = pd.concat([manifest().iloc[[0, 3]], manifest().iloc[[3]]])
    images = images.assign(file=["a/x.jpg", "b/x.jpg", "x_7.jpg"], id=[10, 7, 6])
    names = [picture.image for picture in pictures_of(list_pictures(images, EvaluateParameters(), seed=0))]
    assert len(set(names)) == 3


LAYOUTS = {
    "marked files": ("a_HR.png", "a_LR.png", "b_HR.png", "b_LR.png"),
    "Huang et al. 2015": ("img_a_SRF_4_HR.png", "img_a_SRF_4_LR.png", "img_b_SRF_4_HR.png", "img_b_SRF_4_LR.png"),
    "folders": ("HR/a.png", "LRx4/a.png", "HR/b.png", "LRx4/b.png"),
    "folders by scale": ("HR/a.png", "LR/x4/a.png", "HR/b.png", "LR/x4/b.png"),
    "EDSR": ("HR/a.png", "LR_bicubic/X4/ax4.png", "HR/b.png", "LR_bicubic/X4/bx4.png"),
    "DIV2K": (
        *("DIV2K_valid_HR/a.png", "DIV2K_valid_LR_bicubic/X4/ax4.png"),
        *("DIV2K_valid_HR/b.png", "DIV2K_valid_LR_bicubic/X4/bx4.png"),
    ),
    "BasicSR": ("GTmod12/a.png", "LRbicx4/a.png", "GTmod12/b.png", "LRbicx4/b.png"),
    "originals above": ("a.png", "LR/a.png", "b.png", "LR/b.png"),
}


def write_pairs(folder, photograph, paths):
    """Originals of 40 pixels, and low-resolution files that no reduction of them gives."""
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        image = photograph[:40, number : number + 40] if number % 2 == 0 else photograph[:10, 100:110]
        Image.fromarray(image).save(folder / path)


@pytest.mark.parametrize("paths", LAYOUTS.values(), ids=LAYOUTS)
def test_low_resolution_files_are_paired_with_their_originals(tmp_path, photograph, paths):
    write_pairs(tmp_path, photograph, paths)
    pictures = listed_of(tmp_path)
    assert [picture.file for picture in pictures] == [str(tmp_path / path) for path in paths[::2]]
    assert [picture.low for picture in pictures] == [str(tmp_path / path) for path in paths[1::2]]
    for picture in pictures:
        assert np.array_equal(picture.low_resolution(), photograph[:10, 100:110])
        assert picture.original().hr.shape == (40, 40, 3)


def test_the_hash_of_a_set_has_its_low_resolution_files(tmp_path, photograph):
    write_pairs(tmp_path, photograph, LAYOUTS["folders"])

    def facts():
        return describe_sets(list_pictures(manifest(), EvaluateParameters(benchmarks={"b": tmp_path}), seed=0))

    before = facts()
    assert before["b"]["given_low_resolution"] == 2
    assert before["val"]["given_low_resolution"] == 0
    Image.fromarray(photograph[:10, :10]).save(tmp_path / "LRx4/a.png")
    assert facts()["b"]["sha256"] != before["b"]["sha256"]
    assert facts()["val"] == before["val"]


def test_other_scales_are_not_of_this_benchmark(tmp_path, photograph):
    write_pairs(tmp_path, photograph, LAYOUTS["EDSR"])
    (tmp_path / "LR_bicubic/X2").mkdir()
    Image.fromarray(photograph[:20, :20]).save(tmp_path / "LR_bicubic/X2/ax2.png")
    assert [picture.image for picture in listed_of(tmp_path)] == ["a", "b"]
    for file in (tmp_path / "LR_bicubic/X4").iterdir():
        file.unlink()
    originals = listed_of(tmp_path)
    assert [(picture.image, picture.low) for picture in originals] == [("HR_a", ""), ("HR_b", "")]


def test_sets_of_all_scales_in_one_folder(tmp_path, photograph):
    """Huang et al. 2015 and Martin et al. 2001 as they are distributed with SelfExSR."""
    for scale in (2, 3, 4):
        folder = tmp_path / f"image_SRF_{scale}"
        folder.mkdir()
        Image.fromarray(photograph[:48, :48]).save(folder / f"img_001_SRF_{scale}_HR.png")
        Image.fromarray(photograph[: 48 // scale, : 48 // scale]).save(folder / f"img_001_SRF_{scale}_LR.png")
    [picture] = listed_of(tmp_path)
    assert picture.image == "img_001"
    assert (picture.original().hr.shape, picture.low_resolution().shape) == ((48, 48, 3), (12, 12, 3))


def test_a_folder_without_any_pair_is_one_of_originals(tmp_path, photograph):
    """_LR is also what exports of Lightroom are called."""
    for name in ("one_LR.png", "two_LR.png"):
        Image.fromarray(photograph[:40, :40]).save(tmp_path / name)
    assert [(picture.image, picture.low) for picture in listed_of(tmp_path)] == [("one_LR", ""), ("two_LR", "")]


def test_what_has_no_partner_is_left_out(tmp_path, photograph):
    """A mean must not mix given low-resolution files with made ones."""
    write_pairs(tmp_path, photograph, LAYOUTS["folders"])
    for path in ("HR/alone.png", "HR/odd.png"):
        Image.fromarray(photograph[:40, :40]).save(tmp_path / path)
    Image.fromarray(photograph[:10, :10]).save(tmp_path / "LRx4/lost.png")
    Image.fromarray(photograph[:12, :10]).save(tmp_path / "LRx4/odd.png")
    listed = list_pictures(manifest(), EvaluateParameters(benchmarks={"b": tmp_path}), seed=0)
    status = listed[listed["set"] == "b"].set_index("image")["status"]
    assert status["alone"] == "without a low-resolution file, which others have"
    assert status["lost"] == "a low-resolution file without its original"
    assert status["odd"].endswith("odd.png is of 10x12 pixels, not a quarter of 40x40")
    assert list(status[status == "ok"].index) == ["a", "b"]


@pytest.mark.parametrize(("high", "low"), [((43, 40), (10, 10)), ((43, 42), (11, 11)), ((40, 40), (10, 10))])
def test_low_resolution_files_may_be_rounded_down_or_up(tmp_path, photograph, high, low):
    Image.fromarray(photograph[: high[0], : high[1]]).save(tmp_path / "a_HR.png")
    Image.fromarray(photograph[: low[0], : low[1]]).save(tmp_path / "a_LR.png")
    [picture] = listed_of(tmp_path)
    assert (picture.original().hr.shape, picture.low_resolution().shape) == ((40, 40, 3), (10, 10, 3))
