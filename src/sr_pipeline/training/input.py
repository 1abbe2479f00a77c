"""Batches of crop pairs, read with Grain."""

from collections.abc import Iterator
from typing import NamedTuple

import grain
import numpy as np

from sr_pipeline.crops.shards import CropShards
from sr_pipeline.imaging.types import RgbImage


class CropPair(NamedTuple):
    """HR (s, s, 3) and LR (s/4, s/4, 3) crops, uint8, or batches of them with a leading axis."""

    hr: RgbImage
    lr: RgbImage


def training_batches(
    shards: CropShards, batch_size: int, *, augment: bool, seed: int, start: int = 0
) -> Iterator[CropPair]:
    """Endless batches: every epoch is a new permutation of all crops, and batches run across epochs.

    Batch i depends on the shards, ``seed`` and i alone.

    Args:
        shards: where the crops are.
        batch_size: pairs per batch.
        augment: turn and mirror each pair at random (both crops alike).
        seed: of permutations and augmentation.
        start: number of the first batch.
    """
    pairs = grain.MapDataset.source(shards.records).seed(seed).shuffle().repeat(None)
    pairs = pairs.map(lambda record: CropPair(*shards.decode(record)))
    if augment:
        pairs = pairs.random_map(turn_and_mirror)
    batches = pairs.batch(batch_size)
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    iterator = iter(batches.to_iter_dataset(options))
    iterator.set_state({"next_index": start})
    return iterator


def turn_and_mirror(pair: CropPair, rng: np.random.Generator) -> CropPair:
    """Apply one of the eight symmetries of the square to both crops."""
    symmetry = int(rng.integers(8))
    return CropPair(*(_apply_symmetry(image, symmetry) for image in pair))


def _apply_symmetry(image: RgbImage, symmetry: int) -> RgbImage:
    turned = np.rot90(image, symmetry % 4)
    return turned[:, ::-1] if symmetry >= 4 else turned
