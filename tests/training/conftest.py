import hashlib

import pytest
import skimage.data
from PIL import Image

from sr_pipeline.crops.layout import CropLayout
from sr_pipeline.crops.shards import CropShards, ShardPlan, SourceImage
from sr_pipeline.crops.writing import CropPlan


@pytest.fixture(scope="module")
def crops_of_size(tmp_path_factory):
    """Makes shards of ``count`` crops of one photograph, in a folder of their own."""

    def make(size, count):
        folder = tmp_path_factory.mktemp("crops_of_size")
        Image.fromarray(skimage.data.chelsea()).save(folder / "a.png")
        sha256 = hashlib.sha256((folder / "a.png").read_bytes()).hexdigest()
        layout = CropLayout(seed=0, crop_size=size, crops_per_image=count, scale=4)
        shard = ShardPlan("a.array_record", (SourceImage(1, str(folder / "a.png"), sha256),), layout)
        CropPlan("train", (shard,), layout).write(folder / "crops")
        return CropShards(folder / "crops")

    return make
