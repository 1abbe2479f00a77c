"""Losses of the SRGAN. Images are float32 (n, h, w, 3) in [-1, 1]; every loss is a scalar mean over the batch."""

import tensorflow as tf


def pixel_loss(hr: tf.Tensor, sr: tf.Tensor) -> tf.Tensor:
    """Mean squared error of pixels: Ledig et al. 2017, equation 4."""
    return tf.reduce_mean(tf.square(hr - sr))


def perceptual_loss(hr_features: tf.Tensor, sr_features: tf.Tensor, scale: float = 1.0) -> tf.Tensor:
    """Mean squared difference of VGG features: Ledig et al. 2017, equation 5, averaged over channels too.

    ``scale`` multiplies the features first, so the loss changes by its square.
    """
    return tf.reduce_mean(tf.square(scale * (hr_features - sr_features)))


def generator_adversarial_loss(sr_logits: tf.Tensor) -> tf.Tensor:
    """-E[log D(G(LR))]: Ledig et al. 2017, equation 6, as softplus(-logit), which cannot overflow."""
    return tf.reduce_mean(tf.nn.softplus(-sr_logits))


def discriminator_loss(hr_logits: tf.Tensor, sr_logits: tf.Tensor) -> tf.Tensor:
    """-E[log D(HR)] - E[log(1 - D(G(LR)))]: Goodfellow et al. 2014, equation 1, to be minimized by D."""
    return tf.reduce_mean(tf.nn.softplus(-hr_logits)) + tf.reduce_mean(tf.nn.softplus(sr_logits))
