import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from sr_pipeline.crops.layout import cut_pairs
from sr_pipeline.evaluation.metrics import measure
from sr_pipeline.imaging.metrics import Original
from sr_pipeline.imaging.resample import enlarge
from sr_pipeline.training.input import CropPair
from sr_pipeline.training.validation import Validation


def nearest(lr):
    return tf.repeat(tf.repeat(lr, 4, axis=1), 4, axis=2) * 2 - 1


def test_it_measures_and_shows_what_the_generator_does(photograph):
    corners = [(10 * i, 20 * i) for i in range(6)]
    pairs = [
        CropPair(*(np.asarray(crop) for crop in pair))
        for pair in cut_pairs(Image.fromarray(photograph), corners, 48, 4)
    ]
    metrics, picture = Validation(pairs).measure(nearest)
    each = [measure(Original(hr, 4), enlarge(lr, 4, "nearest"), ["psnr_y"])["psnr_y"] for hr, lr in pairs]
    pooled = -10 * np.log10(np.mean([10 ** (-value / 10) for value in each]))
    assert metrics == {"validation_psnr_y": pytest.approx(pooled, abs=1e-6)}
    columns, rows = (picture.width - 4) / (96 + 4), (picture.height - 24) / (96 + 4)
    assert (columns, rows) == (4, 4), "LR, bicubic, SR, HR of four crops, each pixel doubled"


def test_crops_that_are_met_exactly_do_not_rule(photograph):
    """Of flat crops any generator makes the same; a mean of decibels would be infinite for good."""
    corners = [(10 * i, 20 * i) for i in range(3)]
    pairs = [
        CropPair(*(np.asarray(crop) for crop in pair))
        for pair in cut_pairs(Image.fromarray(photograph), corners, 48, 4)
    ]
    flat = CropPair(np.full((48, 48, 3), 128, np.uint8), np.full((12, 12, 3), 128, np.uint8))
    alone, with_flat = (Validation(each).measure(nearest)[0]["validation_psnr_y"] for each in (pairs, [*pairs, flat]))
    assert with_flat == pytest.approx(alone + 10 * np.log10(4 / 3), abs=1e-6)
    assert Validation([flat]).measure(nearest)[0] == {"validation_psnr_y": 100.0}


def test_lpips_ranks_where_it_is_measured():
    class Distance:
        def __call__(self, hr, sr):
            assert hr.min() >= -1
            assert hr.max() <= 1
            return tf.reduce_mean(tf.abs(hr - sr), axis=(1, 2, 3))

    pair = CropPair(np.full((32, 32, 3), 255, np.uint8), np.full((8, 8, 3), 255, np.uint8))
    metrics, _ = Validation([pair], Distance()).measure(lambda lr: tf.zeros((1, 32, 32, 3)))
    assert abs(metrics["validation_lpips"] - 1) < 0.01  # 8 bits have no exact middle
    name, score = Validation([pair], Distance()).criterion
    assert name == "validation_lpips"
    assert score(0.1) > score(0.2), "less distance is better"
    assert Validation([pair]).criterion[1](30) > Validation([pair]).criterion[1](20)
