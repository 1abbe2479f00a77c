import json

import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.parameters import CocoParameters
from sr_pipeline.sources.coco import read_coco


@pytest.fixture
def coco(tmp_path):
    """A COCO data set of three images that need not exist to be listed."""

    def write(split, ids):
        annotations = tmp_path / f"{split}.json"
        images = [{"id": i, "file_name": f"{i:012d}.jpg", "width": 640, "height": 480, "license": 4} for i in ids]
        annotations.write_text(
            json.dumps(
                {
                    "images": images,
                    "licenses": [{"id": 4, "name": "Attribution License"}],
                    "categories": [{"id": 17, "name": "cat"}, {"id": 1, "name": "person"}],
                    "annotations": [
                        {"id": 9, "image_id": ids[0], "category_id": 17},
                        {"id": 10, "image_id": ids[0], "category_id": 1},
                        {"id": 11, "image_id": ids[0], "category_id": 17},
                    ],
                }
            )
        )
        (tmp_path / split).mkdir(exist_ok=True)
        return {"images": tmp_path / split, "annotations": annotations}

    return CocoParameters(train=write("train", [30, 9, 25]), val=write("val", [42]))


def test_photographs_come_by_id_with_licence_and_categories(coco):
    photographs = read_coco(coco)
    assert [(p.split, p.id) for p in photographs] == [("train", 9), ("train", 25), ("train", 30), ("val", 42)]
    assert photographs[2].categories == ["cat", "person"]
    assert photographs[0].categories == []
    assert photographs[0].licence == "Attribution License"
    assert photographs[0].file == coco.train.images / "000000000009.jpg"


def test_fewer_images(coco):
    assert [p.id for p in read_coco(coco, max_images=2)] == [9, 25, 42]


def test_real_coco_annotations(shared):
    folder = shared / "data/coco"
    splits = {
        split: {"images": folder / "images" / split, "annotations": folder / f"annotations/instances_{split}.json"}
        for split in ("train", "val")
    }
    photographs = read_coco(CocoParameters(**splits))
    assert len(photographs) == 443
    assert all(p.file.is_file() and p.width > 0 for p in photographs)
    assert {"person", "cat"} <= {name for p in photographs for name in p.categories}


def test_nothing_is_both_trained_on_and_held_out(coco):
    both = CocoParameters(train=coco.train, val=coco.train)
    with pytest.raises(UserError, match="image id 9 stands in both"):
        read_coco(both)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', r"val\.json is no COCO annotation file: Expecting value"),
        ("[]", r"val\.json is no COCO annotation file"),
        ("{}", r"val\.json lists no images"),
        ('{"images": [{"file_name": "a.jpg"}]}', r"val\.json is no COCO annotation file: 'id'"),
    ],
)
def test_malformed_annotations(coco, content, message):
    coco.val.annotations.write_text(content)
    with pytest.raises(UserError, match=message):
        read_coco(coco)


def test_missing_folder_and_file(coco, tmp_path):
    moved = coco.model_copy(update={"train": coco.train.model_copy(update={"images": tmp_path / "gone"})})
    with pytest.raises(UserError, match=r"the folder of train images is missing: .*gone; put the images there or set"):
        read_coco(moved)
    coco.val.annotations.unlink()
    with pytest.raises(UserError, match=r"the val annotation file is missing: .*val\.json"):
        read_coco(coco)
