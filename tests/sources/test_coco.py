import json

import pytest

from sr_pipeline.errors import UserError
from sr_pipeline.sources.coco import read_coco
from sr_pipeline.sources.parameters import CocoParameters
from sr_pipeline.sources.photograph import Selection

EVERYTHING = Selection(seed=0)


@pytest.fixture
def coco(tmp_path):
    """A COCO data set of three images that need not exist to be listed."""

    def write(split, ids):
        annotations = tmp_path / f"{split}.json"
        images = [
            {"id": i, "file_name": f"{i:012d}.jpg", "width": 640, "height": 480, "license": 4 + i % 2} for i in ids
        ]
        annotations.write_text(
            json.dumps(
                {
                    "images": images,
                    "licenses": [{"id": 4, "name": "Attribution License"}, {"id": 5, "name": "Share-Alike"}],
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
    photographs = read_coco(coco, EVERYTHING)
    assert [(p.split, p.id) for p in photographs] == [("train", 9), ("train", 25), ("train", 30), ("val", 42)]
    assert photographs[2].categories == ("cat", "person")
    assert photographs[0].categories == ()
    assert [p.licence for p in photographs] == [
        "Share-Alike",
        "Share-Alike",
        "Attribution License",
        "Attribution License",
    ]
    assert photographs[0].file == coco.train.images / "000000000009.jpg"


def test_a_subset_of_each_split(coco):
    chosen = read_coco(coco, Selection(seed=0, max_images=2))
    assert [p.split for p in chosen] == ["train", "train", "val"]


def test_only_some_categories(coco):
    chosen = read_coco(coco.model_copy(update={"categories": ["person"]}), EVERYTHING)
    assert [p.id for p in chosen] == [30, 42]
    with pytest.raises(UserError, match=r"train\.json has no category 'pers'; did you mean 'person'"):
        read_coco(coco.model_copy(update={"categories": ["pers"]}), EVERYTHING)


def test_only_some_licences(coco):
    chosen = read_coco(coco.model_copy(update={"licences": [4]}), EVERYTHING)
    assert [p.id for p in chosen] == [30, 42]
    with pytest.raises(UserError, match=r"train\.json has no licence 9; it has \[4, 5\]"):
        read_coco(coco.model_copy(update={"licences": [9]}), EVERYTHING)
    with pytest.raises(UserError, match=r"no image of .*val\.json has one of ingest\.coco\.categories=None and"):
        read_coco(coco.model_copy(update={"licences": [5]}), EVERYTHING)


def test_names_of_2014_and_of_2017_come_from_the_json(coco):
    listed = json.loads(coco.val.annotations.read_text())
    listed["images"][0]["file_name"] = "COCO_val2014_000000000042.jpg"
    coco.val.annotations.write_text(json.dumps(listed))
    assert read_coco(coco, EVERYTHING)[-1].file == coco.val.images / "COCO_val2014_000000000042.jpg"


def test_real_coco_annotations(shared):
    folder = shared / "data/coco"
    splits = {
        split: {"images": folder / "images" / split, "annotations": folder / f"annotations/instances_{split}.json"}
        for split in ("train", "val")
    }
    photographs = read_coco(CocoParameters(**splits), EVERYTHING)
    assert len(photographs) == 443
    assert all(p.file.is_file() and p.width > 0 for p in photographs)
    assert {"person", "cat"} <= {name for p in photographs for name in p.categories}


def test_nothing_is_both_trained_on_and_held_out(coco):
    both = CocoParameters(train=coco.train, val=coco.train)
    with pytest.raises(UserError, match="image id 9 is in both"):
        read_coco(both, EVERYTHING)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', r"val\.json is not a COCO annotation file: Expecting value at line 1 column 13 \(the end of "),
        ('{"images": [{"file_name": "a', r"val\.json is not a .*: Unterminated string .* was it cut off\?"),
        ('{"images": ]}', r"val\.json is not a COCO annotation file: Expecting value at line 1 column 12;"),
        ('{"images": [5]}', r"'id' of images\[0\] is None where a whole number should be"),
        (
            '{"images": [{"id": 1, "file_name": "a", "width": "9", "height": 9}]}',
            r"'width' of images\[0\] is '9' where",
        ),
        ('{"images": [{"id": 1, "file_name": "../a", "width": 9, "height": 9}]}', r"'\.\./a', leads out of the folder"),
        (
            '{"images": [{"id": 1, "file_name": "a", "width": 9, "height": 9}], "annotations": [{"id": 1}]}',
            r"an annotation or category has no 'image_id'",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a", "width": 9, "height": 9}], "annotations": 5}',
            r"val\.json is not a COCO annotation file: 'int' object is not iterable",
        ),
        (
            '{"images": [{"id": 1, "file_name": "a", "width": 9, "height": 9}'
            ', {"id": 1, "file_name": "b", "width": 9, "height": 9}]}',
            "it lists two images with id 1",
        ),
        ("[]", r"val\.json is not a COCO annotation file"),
        ("{}", r"val\.json lists no images"),
        ('{"images": [{"file_name": "a.jpg"}]}', r"val\.json is not a COCO annotation file: 'id' of images"),
    ],
)
def test_malformed_annotations(coco, content, message):
    coco.val.annotations.write_text(content)
    with pytest.raises(UserError, match=message):
        read_coco(coco, EVERYTHING)


def test_missing_folder_and_file(coco, tmp_path):
    moved = coco.model_copy(update={"train": coco.train.model_copy(update={"images": tmp_path / "gone"})})
    with pytest.raises(UserError, match=r"the folder of train images is missing: .*gone; put the images there, set"):
        read_coco(moved, EVERYTHING)
    coco.val.annotations.unlink()
    with pytest.raises(UserError, match=r"the val annotation file is missing: .*val\.json"):
        read_coco(coco, EVERYTHING)
