from pathlib import Path

import pytest
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.parameters import IngestParameters
from sr_pipeline.pipelines.ingest.nodes import inspect_photographs
from sr_pipeline.sources.coco import Photograph


@pytest.fixture
def parameters():
    split = {"images": "unused", "annotations": "unused"}
    return IngestParameters(source="coco", coco={"train": split, "val": split}, min_size=96)


@pytest.fixture
def photographs(tmp_path, photograph):
    """One photograph of each kind; the good one is in both splits under other ids."""
    picture = Image.fromarray(photograph)
    picture.save(tmp_path / "good.png")
    picture.convert("L").save(tmp_path / "gray.jpg")
    picture.crop((0, 0, 200, 95)).save(tmp_path / "small.png")
    picture.save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:3000])
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "empty.png").touch()

    def listed(number, name, width=451, height=300, split="train"):
        return Photograph(number, tmp_path / name, width, height, "CC", ["cat"], split)

    return [
        listed(1, "good.png"),
        listed(2, "gray.jpg"),
        listed(3, "small.png", 200, 95),
        listed(4, "cut.jpg"),
        listed(5, "text.jpg"),
        listed(6, "empty.png"),
        listed(7, "gone.png"),
        listed(8, "good.png", 300, 451),
        listed(9, "good.png", split="val"),
    ]


def test_each_photograph_is_judged(photographs, parameters):
    manifest, report = inspect_photographs(photographs, parameters)
    assert dict(zip(manifest["id"], manifest["reason"], strict=True)) == {
        1: "",
        2: "",
        3: "too small",
        4: "undecodable",
        5: "undecodable",
        6: "undecodable",
        7: "missing",
        8: "size contradicts the annotations",
        9: "",
    }
    assert report == {
        "total": 9,
        "ok": 3,
        "excluded": {"missing": 1, "size contradicts the annotations": 1, "too small": 1, "undecodable": 3},
    }
    assert list(manifest.columns) == [
        "id",
        "file",
        "width",
        "height",
        "licence",
        "categories",
        "split",
        "mode",
        "sha256",
        "status",
        "reason",
    ]
    assert manifest.loc[manifest["id"] == 2, "mode"].item() == "L"
    assert manifest.loc[manifest["id"] == 1, "sha256"].item() == manifest.loc[manifest["id"] == 9, "sha256"].item()


def test_a_split_without_usable_photographs(photographs, parameters):
    gone = photographs[-1]._replace(file=Path("gone.png"))
    with pytest.raises(UserError, match=r"no usable photograph in split 'val': \{'missing': 1\}"):
        inspect_photographs([photographs[0], gone], parameters)
