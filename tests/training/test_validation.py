import numpy as np
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
    expected = np.mean([measure(Original(hr, 4), enlarge(lr, 4, "nearest"), ["psnr_y"])["psnr_y"] for hr, lr in pairs])
    assert metrics == {"validation_psnr_y": np.float64(expected)}
    columns, rows = (picture.width - 4) / (96 + 4), (picture.height - 24) / (96 + 4)
    assert (columns, rows) == (4, 4), "LR, bicubic, SR, HR of four crops, each pixel doubled"


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
