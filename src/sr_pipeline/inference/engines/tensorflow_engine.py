"""A folded generator in TensorFlow, in float32 or bfloat16.

On one core of an AMD EPYC with AVX512_BF16 the full network takes 352 ms for 128x128 pixels in bfloat16 (82 % of the
peak of matrix multiplication) and 650 ms in float32 (89 %); the plain Keras model takes 1.1 to 1.3 s in float32.
"""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from sr_pipeline.imaging.tiling import Window
from sr_pipeline.inference.folded_generator import Convolution, FoldedGenerator, rounded_kernel, to_bfloat16
from sr_pipeline.networks.parameters import SCALE


class TensorFlowEngine:
    """Computes a generator's two parts; each is traced once, for pictures of all sizes.

    Args:
        generator: the folded generator.
        precision: ``float32`` or ``bfloat16``; input, tanh and output are float32 in any case.
    """

    def __init__(self, generator: FoldedGenerator, precision: str) -> None:
        self.generator = generator
        self.name = f"TensorFlow, {precision}"
        self.bytes_per_value = tf.as_dtype(precision).size
        self._dtype = tf.as_dtype(precision)
        self._reflect = generator.padding == "reflect"
        self._moved = int(generator.upsampling == "nearest")
        images = tf.TensorSpec((1, None, None, 3), tf.float32)
        features = tf.TensorSpec((1, None, None, generator.filters), self._dtype)
        self._features = tf.function(self._compute_features, input_signature=[images], autograph=False)
        self._enlarge = tf.function(self._compute_enlarged, input_signature=[features], autograph=False)

    def features(self, lr: NDArray[np.float32]) -> tf.Tensor:
        """What the trunk makes of a picture (h, w, 3) in [0, 1]."""
        return self._features(lr[np.newaxis])

    def enlarge(self, features: tf.Tensor, window: Window) -> NDArray[np.float32]:
        """The picture (4h, 4w, 3) in [-1, 1] from a window of (h, w) features; the caller may change the array."""
        rows, columns = window
        return self._enlarge(features[:, rows, columns]).numpy()[0]

    def _compute_features(self, images: tf.Tensor) -> tf.Tensor:
        x = self._convolve(self._pad(images, 4), self.generator.head, 4)  # float32, or colours shift by 0.3 levels
        x = head = tf.cast(x, self._dtype)
        for first, second in self.generator.blocks:
            y = self._convolve(self._pad(x, 1), first, 1)
            x = self._convolve(self._pad(y, 1), second, 1) + x
        return self._convolve(self._pad(x, 1), self.generator.trunk, 1) + head

    def _compute_enlarged(self, features: tf.Tensor) -> tf.Tensor:
        if (
            not self.generator.upsampling_blocks
        ):  # in float32: the fewer multiplications, 29 % with the refinement shipped
            x = self._convolve(self._pad(tf.cast(features, tf.float32), 1), self.generator.tail, 1)
            return self._activate(self._refine(tf.nn.depth_to_space(x, SCALE)))
        first, second = self.generator.upsampling_blocks
        tail = self.generator.packed_tail
        x = self._convolve(self._pad(features, 1, repeat_edge=bool(self._moved)), first, 1)
        x = self._convolve(self._shuffle(x, 1, repeat_edge=bool(self._moved)), second, 1)
        x = self._convolve(self._shuffle(x, 4), tail, 4, stride=2)
        lost = 0 if self._dtype == tf.float32 else tail.bias - to_bfloat16(tail.bias)
        return tf.nn.depth_to_space(self._activate(tf.cast(x, tf.float32) + lost), 2)

    def _refine(self, pixels: tf.Tensor) -> tf.Tensor:
        """RGB of pixels that may have more channels, from which the refinement makes what is added to it."""
        x = pixels
        for layer in self.generator.refinement:
            x = self._convolve(self._pad(x, 1), layer, 1)
        return pixels[..., :3] + x if self.generator.refinement else pixels

    def _activate(self, x: tf.Tensor) -> tf.Tensor:
        return tf.tanh(x) if self.generator.output == "tanh" else tf.clip_by_value(x, -1.0, 1.0)

    def _convolve(self, x: tf.Tensor, layer: Convolution, margin: int, stride: int = 1) -> tf.Tensor:
        # Constants of the traced function, not its inputs: so oneDNN arranges a kernel for itself once, not each call.
        exact = x.dtype == tf.float32
        kernel = tf.constant(layer.kernel if exact else rounded_kernel(layer.kernel), x.dtype)
        bias = tf.constant(layer.bias, x.dtype)
        padding = "VALID" if self._reflect else ((0, 0), (margin, margin), (margin, margin), (0, 0))
        x = tf.nn.bias_add(tf.nn.conv2d(x, kernel, stride, padding), bias)
        if layer.slope is None:
            return x
        scaled = tf.constant(layer.slope, x.dtype) * x
        return tf.maximum(x, scaled) if layer.slope.max() <= 1 else tf.where(x > 0, x, scaled)

    def _pad(self, x: tf.Tensor, margin: int, *, repeat_edge: bool = False) -> tf.Tensor:
        """Pad by reflection; zeros are left to the convolution. One gather takes a third of ``tf.pad``'s time."""
        if not self._reflect:
            return x
        height, width = tf.shape(x)[1], tf.shape(x)[2]
        rows, columns = (_sources(length, margin, repeat_edge) for length in (height, width))
        return _gather(x, rows[:, tf.newaxis] * width + columns)

    def _shuffle(self, x: tf.Tensor, margin: int, *, repeat_edge: bool = False) -> tf.Tensor:
        """Put squares of pixels in place, leave out what is beyond the picture, and pad: all in one gather."""
        moved = self._moved
        x = tf.reshape(x, (1, tf.shape(x)[1], tf.shape(x)[2], 4, x.shape[-1] // 4))
        height, width = tf.shape(x)[1], tf.shape(x)[2]
        margin = margin if self._reflect else 0
        rows, columns = (_sources(2 * (n - moved), margin, repeat_edge) + moved for n in (height, width))
        square = (rows // 2)[:, tf.newaxis] * width + columns // 2
        return _gather(x, 4 * square + 2 * (rows % 2)[:, tf.newaxis] + columns % 2)


def _sources(length: tf.Tensor, margin: int, repeat_edge: bool) -> tf.Tensor:
    """Which of ``length`` pixels to take for each one of the padded line."""
    positions = tf.range(-margin, length + margin)
    if repeat_edge:
        return tf.clip_by_value(positions, 0, length - 1)
    return length - 1 - tf.abs(length - 1 - tf.abs(positions))


def _gather(x: tf.Tensor, index: tf.Tensor) -> tf.Tensor:
    """A picture (1, h, w, channels) of those pixels of ``x`` that ``index`` (h, w) counts row by row."""
    return tf.gather(tf.reshape(x, (-1, x.shape[-1])), index)[tf.newaxis]
