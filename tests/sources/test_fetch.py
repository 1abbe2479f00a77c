"""A whole COCO data set fetched from a real server."""

import hashlib
import io
import json
import zipfile

import pytest
from PIL import Image
from upath import UPath

from sr_pipeline.errors import UserError
from sr_pipeline.sources.listing import check_source, list_source
from sr_pipeline.sources.parameters import IngestParameters
from tests.sources.server import serving

IDS = {"train": [1, 2, 3, 4, 5, 6], "val": [7, 8]}


def name_of(split, number):
    return f"COCO_{split}2014_{number:012d}.jpg"


@pytest.fixture
def server():
    with serving() as running:
        archives = {"annotations": {}, "train2014": {}, "val2014": {}}
        for split, ids in IDS.items():
            listed = []
            for number in ids:
                file = io.BytesIO()
                Image.new("RGB", (120, 100), (number * 30, 0, 0)).save(file, "JPEG")
                name = f"{split}2014/{name_of(split, number)}"
                running.files[name] = archives[f"{split}2014"][name] = file.getvalue()
                image = {"id": number, "file_name": name_of(split, number), "width": 120, "height": 100}
                listed.append(image | {"coco_url": running.url(name)})
            annotations = {"images": listed, "annotations": [], "categories": [], "licenses": []}
            archives["annotations"][f"annotations/instances_{split}2014.json"] = json.dumps(annotations).encode()
        archives["train2014"] |= {"train2014/not_listed.jpg": b"x"}
        for name, members in archives.items():
            running.files[f"{name}.zip"] = zip_of(members)
        yield running


def zip_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def parameters(server, tmp_path):
    def make(fetch, **others):
        def known(name):
            content = server.files[name]
            return {"url": server.url(name), "size": len(content), "md5": hashlib.md5(content).hexdigest()}

        def paths(split):
            folder = tmp_path / "coco"
            return {
                "images": folder / f"{split}2014",
                "annotations": folder / f"annotations/instances_{split}2014.json",
            }

        downloads = {
            "folder": tmp_path / "downloads",
            "annotations": known("annotations.zip"),
            "train": known("train2014.zip"),
            "val": known("val2014.zip"),
            "attempts": 2,
            "first_wait": 0.01,
        }
        coco = {"train": paths("train"), "val": paths("val"), "fetch": fetch, "downloads": downloads}
        return IngestParameters(source="coco", coco=coco, **others)

    return make


@pytest.mark.parametrize("fetch", ["archives", "images"])
def test_everything_arrives_where_the_parameters_say(server, parameters, tmp_path, fetch):
    check_source(parameters(fetch))
    photographs = list_source(parameters(fetch), seed=0)
    assert [(p.split, p.id) for p in photographs] == [(split, number) for split, ids in IDS.items() for number in ids]
    for photograph in photographs:
        assert photograph.file.parent == tmp_path / f"coco/{photograph.split}2014"
        assert photograph.file.read_bytes() == server.files[f"{photograph.split}2014/{photograph.file.name}"]
    assert not (tmp_path / "coco/train2014/not_listed.jpg").exists()
    asked = len(server.requests)
    assert list_source(parameters(fetch), seed=0) == photographs
    assert len(server.requests) == asked, "what is there is not fetched again"


def test_a_subset_is_all_that_is_fetched(server, parameters):
    photographs = list_source(parameters("images", max_images=2), seed=3)
    assert len(photographs) == 4
    asked = {path for path, _ in server.requests}
    assert asked == {"annotations.zip"} | {f"{p.split}2014/{p.file.name}" for p in photographs}
    more = list_source(parameters("images", max_images=3), seed=3)
    assert set(photographs) <= set(more)


def test_pictures_known_to_be_too_small_are_not_fetched(server, parameters):
    photographs = list_source(parameters("images", min_size=101), seed=0)
    assert len(photographs) == 8
    assert [path for path, _ in server.requests] == ["annotations.zip"]


@pytest.mark.parametrize("fetch", ["archives", "images"])
def test_one_file_for_both_splits_is_all_that_is_fetched(server, parameters, tmp_path, fetch):
    divided = parameters(fetch)
    coco = divided.coco.model_copy(update={"val_fraction": 0.5})
    divided = divided.model_copy(update={"coco": coco})
    check_source(divided)
    photographs = list_source(divided, seed=0)
    assert sorted(p.id for p in photographs) == IDS["train"]
    assert {p.split for p in photographs} == {"train", "val"}
    assert all(p.file.read_bytes() == server.files[f"train2014/{p.file.name}"] for p in photographs)
    assert not [path for path, _ in server.requests if "val2014" in path]
    check_source(divided.model_copy(update={"coco": coco.model_copy(update={"fetch": None})}))


def test_an_unpacking_that_was_interrupted_goes_on(server, parameters, tmp_path):
    photographs = list_source(parameters("archives"), seed=0)
    photographs[2].file.unlink()
    asked = len(server.requests)
    assert list_source(parameters("archives"), seed=0)[2].file.is_file()
    assert len(server.requests) == asked, "the archive is still there"


def test_images_the_server_does_not_have(server, parameters):
    del server.files[f"train2014/{name_of('train', 4)}"]
    photographs = list_source(parameters("images"), seed=0)
    assert [p.id for p in photographs if not p.file.exists()] == [4], "ingest will report it as missing"
    del server.files[f"train2014/{name_of('train', 5)}"], server.files[f"train2014/{name_of('train', 6)}"]
    for photograph in photographs:
        photograph.file.unlink(missing_ok=True)
    with pytest.raises(UserError, match=r"2 of \d downloads of images failed"):
        list_source(parameters("images"), seed=0)
    assert len(list_source(parameters("images", max_bad_fraction=0.5), seed=0)) == 8


def test_an_archive_that_climbs_out(server, parameters, tmp_path):
    server.files["train2014.zip"] = zip_of({f"../../{name_of('train', 1)}": b"evil"})
    with pytest.raises(UserError, match=r"train2014\.zip contains a path that leads out of it"):
        list_source(parameters("archives"), seed=0)
    assert not list(tmp_path.parent.glob("COCO*"))
    assert not list(tmp_path.rglob("COCO_train*"))


def test_an_archive_of_other_annotations(server, parameters):
    server.files["annotations.zip"] = zip_of({"annotations/captions_train2014.json": b"{}"})
    with pytest.raises(UserError, match=r"annotations\.zip does not hold instances_train2014\.json; set ingest\.coco"):
        list_source(parameters("archives"), seed=0)


def test_an_archive_that_changed_at_its_source(server, parameters):
    described = parameters("archives")
    server.files["val2014.zip"] += b"x"
    with pytest.raises(UserError, match=r"val2014\.zip \(the server has \d+ bytes instead of the expected \d+\)"):
        list_source(described, seed=0)


def test_annotations_without_addresses(server, parameters):
    listed = {"images": [{"id": 1, "file_name": "a.jpg", "width": 120, "height": 100}]}
    other = {"images": [{"id": 2, "file_name": "b.jpg", "width": 120, "height": 100}]}
    server.files["annotations.zip"] = zip_of(
        {"instances_train2014.json": json.dumps(listed), "instances_val2014.json": json.dumps(other)}
    )
    with pytest.raises(UserError, match="no coco_url for image 1"):
        list_source(parameters("images"), seed=0)


def test_fetching_goes_to_this_machine_only(parameters):
    described = parameters("images")
    remote = described.coco.val.model_copy(update={"images": UPath("memory://a")})
    with pytest.raises(UserError, match=r"ingest\.coco\.val names memory://a"):
        check_source(described.model_copy(update={"coco": described.coco.model_copy(update={"val": remote})}))
