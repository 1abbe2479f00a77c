import itertools

import numpy as np
import pytest

from sr_pipeline.training.input import CropPair, training_batches, turn_and_mirror


@pytest.fixture
def shards(crops_of_size):
    return crops_of_size(16, 10)


def take(shards, count, **kwargs):
    return list(itertools.islice(training_batches(shards, 4, **{"augment": False, "seed": 0} | kwargs), count))


def test_every_epoch_is_another_permutation_of_all_crops(shards):
    """Five batches of four are two epochs of ten; the third batch spans both."""
    seen = [hr.tobytes() for batch in take(shards, 5) for hr in batch.hr]
    every = {shards[i][0].tobytes() for i in range(10)}
    assert set(seen[:10]) == every
    assert set(seen[10:]) == every
    assert seen[:10] != seen[10:]


def test_order_and_augmentation_follow_the_seed(shards):
    for augment in (False, True):
        first, same, other = (take(shards, 4, augment=augment, seed=s) for s in (0, 0, 1))
        assert all(np.array_equal(a.hr, b.hr) and np.array_equal(a.lr, b.lr) for a, b in zip(first, same, strict=True))
        assert not all(np.array_equal(a.hr, b.hr) for a, b in zip(first, other, strict=True))


def test_both_crops_are_turned_alike(photograph):
    lr = photograph[:8, :8]
    pair = CropPair(np.repeat(np.repeat(lr, 4, 0), 4, 1), lr)
    turned = [turn_and_mirror(pair, np.random.default_rng(s)) for s in range(60)]
    assert all(np.array_equal(t.hr[::4, ::4], t.lr) for t in turned)
    assert len({t.lr.tobytes() for t in turned}) == 8
