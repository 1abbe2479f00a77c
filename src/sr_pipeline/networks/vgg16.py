"""Distances by features of VGG16: LPIPS-VGG and DISTS. Their weights do not come with this package.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR; Ding et al. 2020,
"Image Quality Assessment: Unifying Structure and Texture Similarity", IEEE TPAMI 44(5). docs/evaluation.md says how to
make the file of weights.
"""

import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from sr_pipeline.errors import UserError
from sr_pipeline.networks.lpips import as_float32, lpips_distance, prepared

# Configuration D of Simonyan & Zisserman 2015, table 1: convolutions of each block. Features are those after its last.
_BLOCKS = (2, 2, 3, 3, 3)
# ImageNet's mean and deviation for inputs in [0, 1], as torchvision's networks want them.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STABLE = 1e-6  # c1 and c2 of DISTS, equations 5 and 6


class Vgg16Weights:
    """Weights of VGG16, of LPIPS' linear layers, and of DISTS, from one ``.npz`` file.

    Args:
        file: with ``conv<i>/kernel`` (3, 3, in, out) and ``conv<i>/bias`` for i from 0 to 12, ``lin<i>`` for i from 0
            to 4, and ``alpha`` and ``beta`` (1475,).

    Raises:
        UserError: if it does not hold them.
    """

    def __init__(self, file: str | Path) -> None:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                self.convolutions = [
                    (as_float32(arrays[f"conv{i}/kernel"]), as_float32(arrays[f"conv{i}/bias"]))
                    for i in range(sum(_BLOCKS))
                ]
                self.linear = [as_float32(arrays[f"lin{i}"].ravel()) for i in range(len(_BLOCKS))]
                self.alpha, self.beta = (as_float32(arrays[name].ravel()) for name in ("alpha", "beta"))
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{file} does not hold the weights of VGG16 for LPIPS-VGG and DISTS ({error}); docs/evaluation.md says "
                "how to make evaluate.vgg16"
            ) from error

    def features(self, x: tf.Tensor, *, smooth: bool) -> list[tf.Tensor]:
        """Activations after the last convolution of each block, of prepared pictures (n, h, w, 3).

        Args:
            x: pictures.
            smooth: between blocks, the root of a blurred square (DISTS, equation 3) instead of the maximum of 2x2.
        """
        outputs, number = [], 0
        for block, convolutions in enumerate(_BLOCKS):
            if block:
                x = _root_of_mean_square(x) if smooth else tf.nn.max_pool2d(x, 2, 2, "VALID")
            for _ in range(convolutions):
                kernel, bias = self.convolutions[number]
                x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias)
                number += 1
            outputs.append(x)
        return outputs


class LpipsVgg:
    """LPIPS version 0.1 with VGG16: Zhang et al. 2018, equation 1; smaller is more alike."""

    def __init__(self, weights: Vgg16Weights) -> None:
        self._weights = weights

    @tf.function(reduce_retracing=True)
    def __call__(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Distances (n,) between one picture (1, h, w, 3) in [-1, 1] and others (n, h, w, 3)."""
        one, others = (self._weights.features(prepared(images), smooth=False) for images in (first, second))
        return lpips_distance(one, others, self._weights.linear)


class Dists:
    """DISTS: Ding et al. 2020, equations 4 to 7; 0 for equal pictures, and smaller is more alike."""

    def __init__(self, weights: Vgg16Weights) -> None:
        self._weights = weights

    @tf.function(reduce_retracing=True)
    def __call__(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Distances (n,) between one picture (1, h, w, 3) in [-1, 1] and others (n, h, w, 3)."""
        one, others = (self._features(images) for images in (first, second))
        sizes = [features.shape[-1] for features in one]
        total = tf.reduce_sum(self._weights.alpha) + tf.reduce_sum(self._weights.beta)
        alphas, betas = (tf.split(values / total, sizes) for values in (self._weights.alpha, self._weights.beta))
        similarity = tf.zeros(tf.shape(second)[0])
        for a, b, alpha, beta in zip(one, others, alphas, betas, strict=True):
            mean_a, mean_b = (tf.reduce_mean(x, axis=(1, 2), keepdims=True) for x in (a, b))
            variance_a, variance_b = (
                tf.reduce_mean(tf.square(x - mean), axis=(1, 2)) for x, mean in ((a, mean_a), (b, mean_b))
            )
            covariance = tf.reduce_mean((a - mean_a) * (b - mean_b), axis=(1, 2))
            mean_a, mean_b = (tf.squeeze(mean, (1, 2)) for mean in (mean_a, mean_b))
            texture = (2 * mean_a * mean_b + _STABLE) / (tf.square(mean_a) + tf.square(mean_b) + _STABLE)
            structure = (2 * covariance + _STABLE) / (variance_a + variance_b + _STABLE)
            similarity += tf.reduce_sum(alpha * texture + beta * structure, axis=-1)
        return 1 - similarity

    def _features(self, images: tf.Tensor) -> list[tf.Tensor]:
        """The picture itself in [0, 1], and the features of the five blocks."""
        values = (tf.cast(images, tf.float32) + 1) / 2
        return [values, *self._weights.features((values - _MEAN) / _DEVIATION, smooth=True)]


def _root_of_mean_square(x: tf.Tensor) -> tf.Tensor:
    """L2 pooling by 2 under a Hann window of 3x3, zeros outside (Hénaff & Simoncelli 2016)."""
    side = np.array([0.5, 1.0, 0.5], np.float32)  # np.hanning(5) without its zeros
    window = np.outer(side, side) / np.outer(side, side).sum()
    kernel = tf.tile(tf.constant(window)[:, :, tf.newaxis, tf.newaxis], (1, 1, x.shape[-1], 1))
    padded = tf.pad(tf.square(x), [[0, 0], [1, 1], [1, 1], [0, 0]])
    return tf.sqrt(tf.nn.depthwise_conv2d(padded, kernel, (1, 2, 2, 1), "VALID") + 1e-12)
