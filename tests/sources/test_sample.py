import json

import pytest
from pycocotools.coco import COCO

from sr_pipeline.sources.coco import read_coco
from sr_pipeline.sources.photograph import Selection
from sr_pipeline.sources.sample import write_sample


@pytest.fixture
def sample(tmp_path):
    return write_sample(tmp_path / "sample")


def test_pycocotools_opens_it(sample):
    coco = COCO(str(sample.train.annotations))
    assert len(coco.getImgIds()) == 6
    motorcycles = coco.getImgIds(catIds=coco.getCatIds(catNms=["motorcycle"]))
    assert {coco.imgs[i]["file_name"] for i in motorcycles} == {"motorcycle_left.png", "motorcycle_right.png"}
    for annotation in coco.loadAnns(coco.getAnnIds()):
        image = coco.imgs[annotation["image_id"]]
        x, y, width, height = annotation["bbox"]
        assert 0 <= x < x + width <= image["width"]
        assert 0 <= y < y + height <= image["height"]
        assert coco.annToMask(annotation).sum() == pytest.approx(annotation["area"], rel=0.02)


def test_the_split(sample):
    photographs = read_coco(sample, Selection(seed=0))
    by_split = {split: {p.file.stem for p in photographs if p.split == split} for split in ("train", "val")}
    assert by_split == {
        "train": {"astronaut", "coffee", "rocket", "motorcycle_left", "motorcycle_right", "flower"},
        "val": {"chelsea", "china"},
    }
    assert {p.file.stem: p.categories for p in photographs}["coffee"] == ("cup", "spoon")
    assert all(p.licence != "unknown" for p in photographs)


def test_writing_it_again_changes_nothing(sample, tmp_path):
    def content():
        return {p: p.read_bytes() for p in sorted((tmp_path / "sample").rglob("*")) if p.is_file()}

    before = content()
    write_sample(tmp_path / "sample")
    assert content() == before
    assert len(before) == 10


def test_annotations_state_true_sizes(sample):
    listed = json.loads(sample.val.annotations.read_text())["images"]
    assert {(i["file_name"], i["width"], i["height"]) for i in listed} == {
        ("chelsea.png", 451, 300),
        ("china.jpg", 640, 427),
    }
