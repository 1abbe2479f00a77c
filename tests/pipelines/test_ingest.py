import io
import os
import random
import struct
import zlib
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import skimage.data
from PIL import Image
from upath import UPath

from sr_pipeline.errors import UserError
from sr_pipeline.pipelines.ingest.inspection import COLUMNS
from sr_pipeline.pipelines.ingest.near_duplicates import fingerprint, nearest
from sr_pipeline.pipelines.ingest.nodes import draw_contact_sheet, inspect_photographs
from sr_pipeline.sources.parameters import IngestParameters
from sr_pipeline.sources.photograph import Photograph


def parameters_with(**others):
    split = {"images": "unused", "annotations": "unused"}
    return IngestParameters(source="coco", coco={"train": split, "val": split}, **({"max_bad_fraction": 1} | others))


@pytest.fixture
def parameters():
    return parameters_with()


@pytest.fixture
def folder(tmp_path):
    return UPath(tmp_path)


@pytest.fixture
def photographs(folder, photograph):
    """One photograph of each kind."""
    picture = Image.fromarray(photograph)
    picture.save(folder / "good.png")
    picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "held_out.png")
    picture.convert("L").save(folder / "gray.jpg")
    picture.crop((0, 0, 200, 95)).save(folder / "small.png")
    picture.save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:3000])
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / "folder.jpg").mkdir()
    Image.new("1", (8100, 8100)).save(folder / "bomb.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "turned.jpg", exif=exif)

    def listed(number, name, size=(451, 300), split="train"):
        return Photograph(number, folder / name, split, *(size or ()), licence="CC", categories=("cat",))

    return [
        listed(1, "good.png"),
        listed(2, "gray.jpg"),
        listed(3, "small.png", (200, 95)),
        listed(4, "cut.jpg"),
        listed(5, "text.jpg"),
        listed(6, "empty.png"),
        listed(7, "gone.png"),
        listed(8, "good.png", (300, 451)),
        listed(9, "held_out.png", split="val"),
        listed(10, "held_out.png"),
        listed(11, "bomb.png", (8100, 8100)),
        listed(12, "turned.jpg", (451, 300)),
        listed(13, "turned.jpg", (300, 451)),
        listed(14, "good.png", None),
        listed(15, "folder.jpg"),
    ]


def test_each_photograph_is_judged(photographs, parameters):
    manifest, report = inspect_photographs(photographs, parameters)
    assert dict(zip(manifest["id"], manifest["reason"], strict=True)) == {
        1: "",
        2: "",
        3: "too small",
        4: "truncated",
        5: "undecodable",
        6: "undecodable",
        7: "missing",
        8: "size contradicts the annotations",
        9: "",
        10: "also held out",
        11: "decompression bomb",
        12: "",
        13: "",
        14: "",
        15: "unreadable",
    }
    assert report == {
        "total": 15,
        "ok": 6,
        "excluded": {
            "also held out": 1,
            "decompression bomb": 1,
            "missing": 1,
            "size contradicts the annotations": 1,
            "too small": 1,
            "truncated": 1,
            "undecodable": 2,
            "unreadable": 1,
        },
    }
    assert list(manifest.columns) == COLUMNS
    by_id = manifest.set_index("id")
    assert by_id.loc[2, "mode"] == "L"
    assert by_id.loc[1, "sha256"] == by_id.loc[14, "sha256"]
    assert by_id.loc[12, ["width", "height"]].tolist() == [300, 451], "upright"
    assert by_id.loc[14, ["width", "height"]].tolist() == [451, 300], "of the file where the source does not say"


def test_a_size_of_which_one_edge_is_stated(photographs, parameters):
    wide = photographs[0]._replace(height=None)
    manifest, _ = inspect_photographs([wide, wide._replace(id=99, width=450), photographs[8]], parameters)
    assert manifest["reason"].tolist() == ["", "size contradicts the annotations", ""]


@pytest.mark.skipif(os.name == "nt", reason="names are UTF-16 there")
def test_a_name_that_is_not_utf_8_is_set_aside(photographs, parameters, folder, photograph, tmp_path):
    latin = os.fsdecode(b"caf\xe9.png")
    Image.fromarray(photograph).save(folder / latin)
    listed = [photographs[0], photographs[8], photographs[0]._replace(id=99, file=folder / latin)]
    manifest, report = inspect_photographs(listed, parameters)
    assert report["excluded"] == {"file name is not UTF-8": 1}
    assert manifest["file"].tolist()[2] == str(folder / "caf\\xe9.png")
    manifest.to_parquet(tmp_path / "manifest.parquet")
    assert pd.read_parquet(tmp_path / "manifest.parquet")["file"].tolist() == manifest["file"].tolist()
    draw_contact_sheet(manifest)


@pytest.fixture(scope="module")
def other_photograph():
    """Another scene."""
    return Image.fromarray(skimage.data.coffee()).resize((400, 267))


def saved(picture, file, **options):
    picture.save(file, **options)
    return UPath(file)


def test_near_duplicates_of_held_out_photographs_are_not_trained_on(folder, photograph, other_photograph, caplog):
    caplog.set_level("INFO")
    original = Image.fromarray(photograph)
    border = original.crop((4, 3, 447, 297))
    files = [
        ("val", saved(original, folder / "original.png")),
        ("train", saved(original, folder / "saved_again.jpg", quality=40)),
        ("train", saved(original.resize((226, 150)), folder / "half.webp", quality=70)),
        ("train", saved(original.resize((902, 600)), folder / "twice.png")),
        ("train", saved(original.convert("L"), folder / "gray.png")),
        ("train", saved(border, folder / "border.png")),
        ("train", saved(other_photograph, folder / "other.png")),
        ("train", saved(original.transpose(Image.Transpose.FLIP_TOP_BOTTOM), folder / "upside_down.png")),
        ("val", saved(other_photograph.transpose(Image.Transpose.FLIP_LEFT_RIGHT), folder / "mirrored.png")),
    ]
    listed = [Photograph(number, file, split) for number, (split, file) in enumerate(files)]
    manifest, report = inspect_photographs(listed, parameters_with())
    assert manifest["reason"].tolist() == ["", *["also held out"] * 5, "", "", ""]
    assert report == {"total": 9, "ok": 4, "excluded": {"also held out": 5}}
    assert list(manifest.columns) == COLUMNS
    assert "saved_again.jpg looks like" in caplog.text
    exact, report = inspect_photographs(listed, parameters_with(near_duplicate_bits=None))
    assert report["excluded"] == {}
    assert exact.drop(columns=["status", "reason"]).equals(manifest.drop(columns=["status", "reason"]))


def test_pictures_of_next_to_nothing_are_not_near_duplicates(folder, photograph):
    ramp = np.repeat(np.linspace(0, 200, 300, dtype=np.uint8)[None, :, None], 200, 0).repeat(3, 2)
    sky = [np.full((200, 300, 3), 200, np.uint8), np.full((200, 300, 3), 90, np.uint8), ramp, ramp // 2]
    files = [saved(Image.fromarray(picture), folder / f"{number}.png") for number, picture in enumerate(sky)]
    listed = [Photograph(number, file, ("train", "val")[number % 2]) for number, file in enumerate(files)]
    _, report = inspect_photographs(listed, parameters_with())
    assert report["excluded"] == {}


def test_no_two_photographs_of_coco_are_near_duplicates(shared):
    """Of 49,000 pairs none is within twice the allowed distance."""
    files = sorted((shared / "data/coco/images").glob("*/*.jpg"))
    prints = [fingerprint(Image.open(file).convert("RGB")) for file in files]
    assert None not in prints
    half = len(prints) // 2
    _, bits = nearest(prints[:half], prints[half:])
    assert bits.min() > 64


def test_the_nearest_is_found():
    prints = [bytes(32), bytes([255] * 32), bytes([1]) + bytes(31)]
    places, bits = nearest([bytes([3]) + bytes(31), bytes([255] * 31 + [254]), bytes(32)], prints)
    assert (places.tolist(), bits.tolist()) == ([2, 1, 0], [1, 1, 0])


def test_workers_of_a_cluster_make_the_same_manifest(photographs, tmp_path, monkeypatch, folder):
    """Byte for byte, and the files keep the relative names that they were listed by."""
    from distributed import LocalCluster

    monkeypatch.chdir(folder)
    listed = [
        p._replace(id=100 * turn + p.id, file=UPath(p.file.name)) for turn in range(20) for p in photographs
    ]  # three tasks of a cluster

    def manifest_of(name, **others):
        manifest, report = inspect_photographs(listed, parameters_with(**others))
        manifest.to_parquet(tmp_path / name)
        return (tmp_path / name).read_bytes(), report

    expected = manifest_of("threads", workers=2)
    assert b"good.png" in expected[0]
    for workers in (1, 2):
        with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster:
            assert manifest_of(f"{workers}", scheduler=cluster.scheduler_address) == expected


def test_a_scheduler_that_does_not_answer(photographs):
    import dask

    nowhere = parameters_with(scheduler="tcp://127.0.0.1:9")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": 0.1}),
        pytest.raises(UserError, match=r"no Dask scheduler answers at ingest\.scheduler=tcp://127\.0\.0\.1:9"),
    ):
        inspect_photographs(photographs, nowhere)


def test_the_number_of_threads_changes_nothing(photographs, parameters):
    one, _ = inspect_photographs(photographs * 9, parameters_with(workers=1))
    many, _ = inspect_photographs(photographs * 9, parameters_with(workers=5))
    assert one.equals(many)


def test_a_split_without_usable_photographs(photographs, parameters):
    gone = photographs[8]._replace(file=UPath("gone.png"))
    with pytest.raises(UserError, match=r"no usable photograph in split 'val': \{'missing': 1\}"):
        inspect_photographs([photographs[0], gone], parameters)


def test_too_many_bad_files_stop_the_run_and_one_never_does(photographs, caplog):
    good, cut, gone, held_out = photographs[0], photographs[3], photographs[6], photographs[8]
    _, report = inspect_photographs([good, cut, held_out], parameters_with(max_bad_fraction=0))
    assert report["excluded"] == {"truncated": 1}
    with pytest.raises(
        UserError,
        match=r"2 of 4 photographs are bad \(1 truncated, 1 missing\), more than ingest\.max_bad_fraction=0\.4 allows",
    ):
        inspect_photographs([good, cut, gone, held_out], parameters_with(max_bad_fraction=0.4))
    assert "cut.jpg: truncated" in caplog.text
    inspect_photographs([good, cut, gone, held_out], parameters_with(max_bad_fraction=0.5))
    small = photographs[2]
    inspect_photographs([good, small, small, small, held_out], parameters_with(max_bad_fraction=0))


def test_the_contact_sheet_shows_good_and_bad(photographs, parameters):
    manifest, _ = inspect_photographs(photographs, parameters)
    sheet = np.asarray(draw_contact_sheet(manifest))
    reds = (sheet[..., 0] > 150) & (sheet[..., 1] < 60)
    assert reds.any(), "reasons are written in red"
    without_bad = np.asarray(draw_contact_sheet(manifest[manifest["status"] == "ok"]))
    assert without_bad.shape[0] < sheet.shape[0]
    assert without_bad.std() > 20, "pictures are drawn"


def mutations(photograph, count):
    """(name, content) of broken picture files, made of two real ones from a fixed seed."""
    rng = random.Random(0)
    originals = {}
    for suffix, options in (("jpg", {"quality": 90}), ("png", {})):
        buffer = io.BytesIO()
        Image.fromarray(photograph[:120, :160]).save(buffer, {"jpg": "JPEG", "png": "PNG"}[suffix], **options)
        originals[suffix] = buffer.getvalue()
    kinds = [flip_bits, flip_bits, cut, overwrite, insert, huge_size, wrong_suffix, empty]
    for number in range(count):
        suffix = rng.choice(["jpg", "png"])
        kind = kinds[number % len(kinds)]
        ending, content = kind(originals[suffix], suffix, rng)
        yield f"{number:03d}_{kind.__name__}.{ending}", content


def flip_bits(content, suffix, rng):
    changed = bytearray(content)
    for _ in range(rng.choice([1, 5, 100])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return suffix, bytes(changed)


def cut(content, suffix, rng):
    return suffix, content[: rng.randrange(1, len(content))]


def overwrite(content, suffix, rng):
    start = rng.randrange(len(content))
    return suffix, content[:start] + rng.randbytes(64) + content[start + 64 :]


def insert(content, suffix, rng):
    start = rng.randrange(len(content))
    return suffix, content[:start] + rng.randbytes(rng.randrange(1, 999)) + content[start:]


def wrong_suffix(content, suffix, rng):
    return {"jpg": "png", "png": "jpg"}[suffix], content


def empty(content, suffix, rng):
    return suffix, b""


def huge_size(content, suffix, rng):
    edge = rng.choice([30_000, 65_000])
    changed = bytearray(content)
    if suffix == "png":
        changed[16:24] = struct.pack(">II", edge, edge)
        changed[29:33] = struct.pack(">I", zlib.crc32(changed[12:29]))
    else:
        start = content.index(b"\xff\xc0") + 5  # baseline frame header: marker, length, precision
        changed[start : start + 4] = struct.pack(">HH", edge, edge)
    return suffix, bytes(changed)


def test_no_broken_file_stops_the_run_or_is_lost(folder, photograph, parameters):
    Image.fromarray(photograph).save(folder / "held_out.png")
    listed = [Photograph(0, folder / "held_out.png", "val", 451, 300)]
    for number, (name, content) in enumerate(mutations(photograph, 400), start=1):
        (folder / name).write_bytes(content)
        listed.append(Photograph(number, folder / name, "train", 160, 120))
    manifest, report = inspect_photographs(listed, parameters)
    assert list(manifest["id"]) == list(range(401))
    assert report["total"] == 401 == report["ok"] + sum(report["excluded"].values())
    reasons = Counter(manifest["reason"])
    assert {"truncated", "undecodable", "decompression bomb"} <= set(reasons)
    by_kind = manifest[1:].groupby(manifest["file"][1:].str.extract(r"\d_(\w+)\.")[0])
    assert set(by_kind.get_group("empty")["reason"]) == {"undecodable"}
    assert set(by_kind.get_group("wrong_suffix")["status"]) == {"ok"}
    assert set(by_kind.get_group("huge_size")["reason"]) == {"decompression bomb"}
    assert (by_kind.get_group("cut")["status"] == "ok").mean() < 0.1
    draw_contact_sheet(manifest)


def test_nothing_is_made_up_of_a_photograph_that_is_missing(photographs, parameters):
    gone = photographs[6]._replace(width=None, height=None)
    manifest, _ = inspect_photographs([photographs[0], photographs[8], gone], parameters)
    row = manifest.set_index("id").loc[gone.id]
    assert row[["width", "height", "mode", "sha256"]].tolist() == [0, 0, "", ""]
