import hashlib

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sr_pipeline.crops.layout import CropLayout, cut_pairs
from sr_pipeline.crops.shards import CropShards, ShardPlan, SourceImage
from sr_pipeline.crops.writing import CropPlan
from sr_pipeline.networks.features import FeatureExtractor
from sr_pipeline.training.input import CropPair
from tests.conftest import SHALLOW
from tests.training.tiny import RECIPE, tiny_training


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


@pytest.fixture(scope="module")
def features():
    return FeatureExtractor("untrained", SHALLOW)


@pytest.fixture
def tiny(features):
    """A training of RECIPE at its start."""
    return tiny_training(RECIPE, features)


@pytest.fixture
def batch(photograph):
    pairs = list(cut_pairs(Image.fromarray(photograph), [(100, 100), (60, 200)], 48, 4))
    return CropPair(*(np.stack([np.asarray(crop) for crop in crops]) for crops in zip(*pairs, strict=True)))
