"""The faster layers compute what Keras' own do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sr_pipeline.networks.training_layers import (
    DoublingConv2D,
    EqualPhases,
    FusedBatchNormalization,
    PackedConv2D,
    deterministic_split,
)
from tests.conftest import NEEDS_BFLOAT16


def forward_and_backward(layer, images, weights=None):
    """Outputs, and gradients of a loss that weighs every output differently."""
    layer.build(images.shape)
    if weights is not None:
        layer.set_weights(weights)
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images, **({"training": True} if "Normalization" in type(layer).__name__ else {}))
        ramp = tf.reshape(tf.linspace(0.0, 1.0, tf.size(outputs)), tf.shape(outputs))
        loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * tf.sin(9 * ramp))
    gradients = tape.gradient(loss, [images, *layer.trainable_variables])
    return [np.asarray(tf.cast(value, tf.float32)) for value in (outputs, *gradients)]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("kernel", [3, 9])
def test_packed_convolution(padding, kernel, rng):
    images = rng.normal(size=(2, 16, 12, 5)).astype(np.float32)
    plain = keras.layers.Conv2D(3, kernel, padding=padding)
    expected = forward_and_backward(plain, images)
    packed = forward_and_backward(PackedConv2D(3, kernel, padding=padding), images, plain.get_weights())
    for one, other in zip(packed, expected, strict=True):
        assert np.allclose(one, other, atol=1e-4)


@NEEDS_BFLOAT16
def test_packed_convolution_in_bfloat16(rng):
    images = rng.normal(size=(2, 16, 16, 8)).astype(np.float32)
    plain = keras.layers.Conv2D(3, 9, padding="same", dtype="mixed_bfloat16")
    expected = forward_and_backward(plain, images)
    packed = forward_and_backward(
        PackedConv2D(3, 9, padding="same", dtype="mixed_bfloat16"), images, plain.get_weights()
    )
    for one, other in zip(packed, expected, strict=True):
        assert np.allclose(one, other, rtol=0.05, atol=0.05 * np.abs(other).max())


@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_doubling_convolution(padding, rng):
    images = rng.normal(size=(2, 6, 9, 5)).astype(np.float32)
    mode = "reflect" if padding == "reflect" else "constant"
    plain = keras.Sequential(
        [
            keras.layers.UpSampling2D(2, interpolation="nearest"),
            keras.layers.Lambda(lambda x: keras.ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode)),
            keras.layers.Conv2D(7, 3, bias_initializer="random_normal"),
        ]
    )
    expected = forward_and_backward(plain, images)
    doubling = DoublingConv2D(7, mirror=padding == "reflect")
    assert doubling.compute_output_shape((None, None, 9, 5)) == (None, None, 18, 7)
    for one, other in zip(forward_and_backward(doubling, images, plain.get_weights()), expected, strict=True):
        assert one.shape == other.shape
        assert np.allclose(one, other, atol=1e-4)


def test_fused_batch_normalization(rng):
    images = (3 + 2 * rng.normal(size=(4, 6, 6, 5))).astype(np.float32)
    plain, fused = keras.layers.BatchNormalization(momentum=0.9), FusedBatchNormalization(momentum=0.9)
    for one, other in zip(forward_and_backward(fused, images), forward_and_backward(plain, images), strict=True):
        assert np.allclose(one, other, atol=1e-3)
    for one, other in zip(fused.get_weights(), plain.get_weights(), strict=True):
        assert np.allclose(one, other, atol=1e-5)
    assert not np.allclose(fused.moving_mean, 0)
    assert np.allclose(fused(images, training=False), plain(images, training=False), atol=1e-5)


def test_equal_phases_are_the_nearest_weights_of_equal_gains(rng):
    kernel, biases = rng.normal(size=(3, 3, 5, 48)).astype(np.float32), rng.normal(size=48).astype(np.float32)
    constraint = EqualPhases(16)
    equal = constraint(tf.constant(kernel)).numpy()
    gains = equal.sum((0, 1)).reshape(5, 16, 3)
    assert np.allclose(gains, gains.mean(1, keepdims=True), atol=1e-5)
    assert np.allclose(gains.mean(1), kernel.sum((0, 1)).reshape(5, 16, 3).mean(1), atol=1e-5)
    change = (equal - kernel).reshape(9, 5, 48)
    assert np.allclose(change, change[:1], atol=1e-6), "a step along the gradient of the gains, and no other"
    assert np.allclose(constraint(tf.constant(equal)), equal, atol=1e-6)
    assert np.allclose(constraint(tf.constant(biases)), np.tile(biases.reshape(16, 3).mean(0), 16), atol=1e-6)


def test_the_gradients_of_both_users_are_added():
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        first, second = deterministic_split(x)
        loss = tf.reduce_sum(3 * first) + tf.reduce_sum(second**2)
    assert np.array_equal(first, x)
    assert np.array_equal(second, x)
    assert np.array_equal(tape.gradient(loss, x), [5, 7])
