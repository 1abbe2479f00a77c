"""Losses of the SRGAN. Images are float32 (n, h, w, 3) in [-1, 1]; every loss is a scalar mean over the batch."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def pixel_loss(hr: tf.Tensor, sr: tf.Tensor) -> tf.Tensor:
    """Mean squared error of pixels: Ledig et al. 2017, equation 4."""
    return tf.reduce_mean(tf.square(hr - sr))


def perceptual_loss(
    hr_features: Sequence[tf.Tensor], sr_features: Sequence[tf.Tensor], weights: Sequence[float], scale: float = 1.0
) -> tf.Tensor:
    """Weighted sum over layers of the mean squared difference of their VGG features.

    Of each layer it is Ledig et al. 2017, equation 5, averaged over channels too. ``scale`` multiplies the features
    first, so the loss changes by its square.
    """
    of_layers = [
        weight * tf.reduce_mean(tf.square(scale * (hr - sr)))
        for hr, sr, weight in zip(hr_features, sr_features, weights, strict=True)
    ]
    return tf.add_n(of_layers)


def generator_adversarial_loss(sr_logits: tf.Tensor) -> tf.Tensor:
    """-E[log D(G(LR))]: Ledig et al. 2017, equation 6, as softplus(-logit), which cannot overflow."""
    return tf.reduce_mean(tf.nn.softplus(-sr_logits))


def discriminator_loss(hr_logits: tf.Tensor, sr_logits: tf.Tensor) -> tf.Tensor:
    """-E[log D(HR)] - E[log(1 - D(G(LR)))]: Goodfellow et al. 2014, equation 1, to be minimized by D."""
    return tf.reduce_mean(tf.nn.softplus(-hr_logits)) + tf.reduce_mean(tf.nn.softplus(sr_logits))


def generator_wasserstein_loss(sr_scores: tf.Tensor) -> tf.Tensor:
    """-E[C(G(LR))]: Gulrajani et al. 2017, algorithm 1, line 11."""
    return -tf.reduce_mean(sr_scores)


def critic_loss(hr_scores: tf.Tensor, sr_scores: tf.Tensor) -> tf.Tensor:
    """E[C(G(LR))] - E[C(HR)]: Gulrajani et al. 2017, equation 3, without the penalty."""
    return tf.reduce_mean(sr_scores) - tf.reduce_mean(hr_scores)


def gradient_penalty(
    critic: Callable[[tf.Tensor], tf.Tensor], hr: tf.Tensor, sr: tf.Tensor, mixture: tf.Tensor
) -> tf.Tensor:
    """E[(|grad C(x)| - 1)^2] at x between HR and SR: Gulrajani et al. 2017, equation 3.

    Args:
        critic: from images to scores (n, 1).
        hr: photographs (n, h, w, 3).
        sr: generated images of the same shape.
        mixture: share of HR in x for each image (n, 1, 1, 1), uniform in [0, 1].
    """
    between = mixture * hr + (1.0 - mixture) * tf.stop_gradient(sr)
    with tf.GradientTape() as tape:
        tape.watch(between)
        scores = critic(between)
    squares = tf.reduce_sum(tf.square(tape.gradient(scores, between)), axis=(1, 2, 3))
    return tf.reduce_mean(tf.square(tf.sqrt(squares + 1e-12) - 1.0))
