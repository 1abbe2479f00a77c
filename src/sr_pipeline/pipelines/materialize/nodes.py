"""Nodes that plan which crops go into which shard; the dataset carries the plan out."""

import pandas as pd

from sr_pipeline.crops.layout import CropLayout, shard_of
from sr_pipeline.crops.parameters import MaterializeParameters
from sr_pipeline.crops.shards import ShardPlan, SourceImage
from sr_pipeline.crops.writing import CropPlan, WorkerConfig
from sr_pipeline.errors import UserError
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.storage import locate


def plan_crops(images: pd.DataFrame, seed: int, parameters: MaterializeParameters) -> tuple[CropPlan, CropPlan]:
    """Plan the training and the validation crops of the manifest's usable images.

    Raises:
        UserError: if one of them is smaller than a crop.
    """
    layout = CropLayout(seed, parameters.crop_size, parameters.crops_per_image, SCALE, parameters.min_contrast)
    usable = images[images["status"] == "ok"]
    _check_sizes(usable, parameters.crop_size)
    return (_plan_split(usable, "train", layout, parameters), _plan_split(usable, "val", layout, parameters))


def _check_sizes(usable: pd.DataFrame, crop_size: int) -> None:
    edges = usable.reindex(columns=["width", "height"]).min(axis=1)
    small = edges[edges < crop_size].sort_values(kind="stable")
    if len(small):
        [first] = usable.loc[small.index[:1]].to_dict("records")
        raise UserError(
            f"{len(small)} of {len(usable)} photographs are smaller than a crop of materialize.crop_size={crop_size}, "
            f"for example {first['file']} with {first['width']}x{first['height']} pixels; set ingest.min_size="
            f"{crop_size} to leave them out, or materialize.crop_size to {small.iloc[0] // SCALE * SCALE:.0f}"
        )


def _plan_split(usable: pd.DataFrame, split: str, layout: CropLayout, parameters: MaterializeParameters) -> CropPlan:
    members: list[list[SourceImage]] = [[] for _ in range(parameters.shards)]
    chosen = usable[usable["split"] == split].sort_values("id")
    for image_id, file, sha256 in zip(chosen["id"], chosen["file"], chosen["sha256"], strict=True):
        # Absolute, because workers of a cluster start in folders of their own.
        source = SourceImage(int(image_id), str(locate(file)), sha256)
        members[shard_of(source.id, parameters.shards)].append(source)
    shards = tuple(
        ShardPlan(f"{number:05d}-of-{parameters.shards:05d}.array_record", tuple(images), layout)
        for number, images in enumerate(members)
        if images
    )
    return CropPlan(split, shards, layout, WorkerConfig(parameters.workers, parameters.scheduler))
