import hashlib

import pytest
from PIL import Image

from sr_pipeline.shards import CropLayout, CropPlan, CropShards, ShardPlan, SourceImage


@pytest.fixture
def crops_of_size(tmp_path, photograph):
    """Makes shards of ``count`` crops of one photograph."""

    def make(size, count):
        Image.fromarray(photograph).save(tmp_path / "a.png")
        sha256 = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
        layout = CropLayout(seed=0, crop_size=size, crops_per_image=count, scale=4)
        shard = ShardPlan("a.array_record", (SourceImage(1, str(tmp_path / "a.png"), sha256),), layout)
        CropPlan("train", (shard,), layout).write(tmp_path / "crops")
        return CropShards(tmp_path / "crops")

    return make
