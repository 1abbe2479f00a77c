import json

import numpy as np
import pytest
from PIL import Image

from sr_pipeline.datasets.crop_shards import CropShardsDataset
from sr_pipeline.errors import UserError
from sr_pipeline.imaging.crops import crop_corners, cut_pairs
from sr_pipeline.shards import INDEX, CropLayout, CropPlan, CropShards, ShardPlan, SourceImage

LAYOUT = CropLayout(seed=5, crop_size=48, crops_per_image=6, scale=4)


@pytest.fixture
def plan(tmp_path, photograph):
    files = []
    for number in range(3):
        file = tmp_path / f"{number}.png"
        Image.fromarray(np.roll(photograph, 40 * number, axis=1)).save(file)
        files.append(SourceImage(number, str(file)))
    return CropPlan(
        (ShardPlan("a.array_record", tuple(files[:2]), LAYOUT), ShardPlan("b.array_record", (files[2],), LAYOUT)),
        LAYOUT,
    )


def test_what_is_read_is_what_was_cut(plan, tmp_path, photograph):
    plan.write(tmp_path / "crops")
    shards = CropShards(tmp_path / "crops")
    assert len(shards) == 18
    expected = [
        pair
        for number in range(3)
        for pair in cut_pairs(
            np.roll(photograph, 40 * number, axis=1), crop_corners(5, number, 6, photograph.shape[:2], 48), 48, 4
        )
    ]
    for i, (hr, lr) in enumerate(expected):
        assert np.array_equal(shards[i][0], hr)
        assert np.array_equal(shards[i][1], lr)


def test_workers_do_not_change_the_bytes(plan, tmp_path):
    plan.write(tmp_path / "one")
    CropPlan(plan.shards, LAYOUT, workers=2).write(tmp_path / "two")
    assert (tmp_path / "one" / INDEX).read_text() == (tmp_path / "two" / INDEX).read_text()
    for shard in json.loads((tmp_path / "one" / INDEX).read_text())["shards"]:
        assert (tmp_path / "one" / shard["file"]).read_bytes() == (tmp_path / "two" / shard["file"]).read_bytes()


def test_an_earlier_plans_shards_go(plan, tmp_path):
    folder = tmp_path / "crops"
    plan.write(folder)
    CropPlan(plan.shards[:1], LAYOUT).write(folder)
    assert sorted(file.name for file in folder.iterdir()) == ["a.array_record", INDEX]


def test_a_failed_write_leaves_no_index(plan, tmp_path):
    folder = tmp_path / "crops"
    plan.write(folder)
    gone = ShardPlan("b.array_record", (SourceImage(9, str(tmp_path / "gone.png")),), LAYOUT)
    with pytest.raises(FileNotFoundError):
        CropPlan((plan.shards[0], gone), LAYOUT).write(folder)
    with pytest.raises(UserError, match="there are no finished crops"):
        CropShards(folder)


def test_a_missing_shard_is_named(plan, tmp_path):
    plan.write(tmp_path / "crops")
    (tmp_path / "crops/b.array_record").unlink()
    with pytest.raises(UserError, match=r"crop shard .*b\.array_record is missing; make it again with kedro run"):
        CropShards(tmp_path / "crops")


def test_shards_that_hold_fewer_crops_than_the_index_says(plan, tmp_path):
    folder = tmp_path / "crops"
    plan.write(folder)
    (folder / "b.array_record").write_bytes((folder / "a.array_record").read_bytes())
    with pytest.raises(UserError, match=r"hold 24 crops where index\.json says 18"):
        CropShards(folder)[0]


def test_the_kedro_dataset_writes_and_opens_them(plan, tmp_path):
    dataset = CropShardsDataset(filepath=str(tmp_path / "crops"))
    assert not dataset.exists()
    dataset.save(plan)
    assert dataset.exists()
    assert len(dataset.load()) == 18
