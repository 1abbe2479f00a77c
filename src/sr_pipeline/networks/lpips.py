"""Learned perceptual image patch similarity, LPIPS version 0.1 with AlexNet.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR.
"""

import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.packaged import LPIPS_ALEX, weights_file

# The scaling layer of the authors' code: ImageNet's mean and deviation for inputs in [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
# AlexNet's convolutions: stride, padding, and whether a 3x3 maximum of stride 2 comes before.
_CONVOLUTIONS = ((4, 2, False), (1, 2, True), (1, 1, True), (1, 1, False), (1, 1, False))


class Lpips:
    """Perceptual distance by AlexNet features; smaller is more alike.

    Args:
        weights: ``packaged``, or an ``.npz`` file with ``conv<i>/kernel``, ``conv<i>/bias`` and ``lin<i>`` for i from
            0 to 4, of 16 or 32 bits; what is computed has 32.

    Raises:
        UserError: if the file does not hold them.
    """

    def __init__(self, weights: str | Path = "packaged") -> None:
        file = weights_file(weights, LPIPS_ALEX)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                self._convolutions = [
                    (as_float32(arrays[f"conv{i}/kernel"]), as_float32(arrays[f"conv{i}/bias"])) for i in range(5)
                ]
                self._linear = [as_float32(arrays[f"lin{i}"].ravel()) for i in range(5)]
        except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{weights} does not hold the weights of LPIPS-Alex ({error}); set lpips.weights to 'packaged', "
                "to a file that does, or to null to leave LPIPS out"
            ) from error

    @tf.function(reduce_retracing=True)
    def __call__(self, first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        """Distances (n,) of RGB images (n, h, w, 3) in [-1, 1]; Zhang et al. 2018, equation 1.

        ``first`` may be a single image (1, h, w, 3) that all of ``second`` are compared with.
        """
        return lpips_distance(self._features(first), self._features(second), self._linear)

    def _features(self, images: tf.Tensor) -> list[tf.Tensor]:
        x = prepared(images)
        outputs = []
        for (stride, padding, pooled), (kernel, bias) in zip(_CONVOLUTIONS, self._convolutions, strict=True):
            if pooled:
                x = tf.nn.max_pool2d(x, 3, 2, "VALID")
            edges = [[0, 0], [padding, padding], [padding, padding], [0, 0]]
            x = tf.nn.relu(tf.nn.conv2d(x, kernel, stride, edges) + bias)
            outputs.append(x)
        return outputs


def prepared(images: tf.Tensor) -> tf.Tensor:
    """RGB in [-1, 1] as the networks of LPIPS want it."""
    return (tf.cast(images, tf.float32) - _SHIFT) / _SCALE


def lpips_distance(first: list[tf.Tensor], second: list[tf.Tensor], linear: list[tf.Tensor]) -> tf.Tensor:
    """Weighted squared differences (n,) of features of unit length, over all layers: Zhang et al. 2018, equation 1.

    Args:
        first: features (1 or n, h, w, c) of each layer.
        second: features (n, h, w, c).
        linear: weights (c,).
    """
    distance = tf.zeros(tf.shape(second[0])[0])
    for one, other, weights in zip(first, second, linear, strict=True):
        difference = tf.square(_unit_length(one) - _unit_length(other))
        distance += tf.reduce_mean(tf.tensordot(difference, weights, 1), axis=(1, 2))
    return distance


def as_float32(array: NDArray) -> tf.Tensor:
    """Weights that may be stored in 16 bits."""
    return tf.constant(array.astype(np.float32))


def _unit_length(features: tf.Tensor) -> tf.Tensor:
    """Features of each position divided by their length."""
    return features / (tf.norm(features, axis=-1, keepdims=True) + 1e-10)
