import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sr_pipeline.crops.parameters import MaterializeParameters
from sr_pipeline.errors import UserError
from sr_pipeline.pipelines.materialize.nodes import plan_crops


def manifest_of(ids, split="train"):
    count = len(ids)
    return pd.DataFrame(
        {
            "id": ids,
            "file": [f"{number}.jpg" for number in ids],
            "split": [split] * count,
            "width": [640] * count,
            "height": [480] * count,
            "status": ["ok"] * count,
            "sha256": [f"{number:x}" for number in ids],
        }
    )


def members(images, shards):
    train, _ = plan_crops(images, 0, MaterializeParameters(crops_per_image=2, shards=shards))
    return {plan.file: [image.id for image in plan.images] for plan in train.shards}


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=40, unique=True), st.integers(1, 9))
def test_the_shard_of_an_image_depends_on_nothing_else(ids, shards):
    together = members(manifest_of(ids), shards)
    assert sorted(number for shard in together.values() for number in shard) == sorted(ids)
    [(alone, [number])] = members(manifest_of(ids[:1]), shards).items()
    assert number in together[alone]
    assert all(shard == sorted(shard) for shard in together.values())


def test_images_are_spread_evenly():
    sizes = [len(shard) for shard in members(manifest_of(list(range(4000))), 8).values()]
    assert np.ptp(sizes) < 130


def test_excluded_images_and_other_splits_are_left_out():
    images = pd.concat([manifest_of([1, 2, 3]), manifest_of([4], "val")], ignore_index=True)
    images.loc[1, "status"] = "excluded"
    train, val = plan_crops(images, 0, MaterializeParameters(crops_per_image=2))
    assert [image.id for image in train.shards[0].images] == [1, 3]
    assert [image.id for image in val.shards[0].images] == [4]


def test_a_crop_larger_than_a_photograph_is_found_before_any_is_cut():
    images = manifest_of([1, 2, 3])
    images.loc[1, "height"] = 102
    images.loc[2, ["height", "status"]] = [50, "excluded"]
    plan_crops(images, 0, MaterializeParameters(crops_per_image=1, crop_size=100))
    with pytest.raises(
        UserError,
        match=r"1 of 2 photographs are smaller than a crop of materialize\.crop_size=128, for example 2\.jpg with "
        r"640x102 pixels; set ingest\.min_size=128 to leave them out, or materialize\.crop_size to 100",
    ):
        plan_crops(images, 0, MaterializeParameters(crops_per_image=1, crop_size=128))


def test_the_plan_names_files_absolutely(tmp_path, monkeypatch):
    """Workers of a cluster start in folders of their own."""
    monkeypatch.chdir(tmp_path)
    train, _ = plan_crops(manifest_of([1]), 0, MaterializeParameters(crops_per_image=2))
    assert train.shards[0].images[0].file == str(tmp_path / "1.jpg")


@pytest.mark.parametrize("changed", [{"seed": 1}, {"crops_per_image": 3}, {"min_contrast": 1.0}, {"crop_size": 48}])
def test_what_decides_the_bytes_decides_the_digest(changed):
    def digest(seed=0, **parameters):
        train, _ = plan_crops(manifest_of([1]), seed, MaterializeParameters(**({"crops_per_image": 2} | parameters)))
        return train.shards[0].digest

    assert digest() == digest(workers=3)
    assert digest() != digest(**changed)
