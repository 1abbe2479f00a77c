"""Losses of the SRGAN. Images are float32 (n, h, w, 3) in [-1, 1]; every loss is a scalar mean over the batch."""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from sr_pipeline.imaging.metrics import LUMA

_LUMA = LUMA.astype(np.float32) / 2  # of RGB in [-1, 1]
_BELL = np.exp(-(np.arange(-4, 5, dtype=np.float32) ** 2) / 2)
_GAUSSIAN = _BELL / _BELL.sum()  # of one pixel


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
    return total(of_layers)


def smooth_area_loss(hr: tf.Tensor, sr: tf.Tensor, contrast: float) -> tf.Tensor:
    """Mean over pixels of w·(d(HR) - d(SR))²: of fine detail where the photograph is smooth.

    d is luma, in grey levels, less its Gaussian blur of one pixel. w = exp(-s / ``contrast``), with s the photograph's
    standard deviation over 5x5 pixels. The 4 pixels at each edge are left out.

    Where a photograph is smooth it has no such detail, but a discriminator makes a generator put dots there, beside
    edges, and the mean error of all pixels hardly notices. Liang et al. 2022 (arXiv:2203.09195) hold artefacts back
    where they show, too, by another map.

    Args:
        hr: photographs (n, h, w, 3) in [-1, 1], h and w at least 9.
        sr: generated images of the same shape.
        contrast: of w, in grey levels.
    """
    hr_luma, sr_luma = (tf.tensordot(image, _LUMA, 1)[..., tf.newaxis] for image in (hr, sr))
    mean, mean_square = (tf.nn.avg_pool2d(values, 5, 1, "VALID") for values in (hr_luma, tf.square(hr_luma)))
    deviation = tf.sqrt(tf.maximum(mean_square - tf.square(mean), 0.0))[:, 2:-2, 2:-2]
    weights = tf.exp(-deviation / contrast)
    return tf.reduce_mean(weights * tf.square(_detail(hr_luma) - _detail(sr_luma)))


def _detail(luma: tf.Tensor) -> tf.Tensor:
    """(n, h, w, 1) less its blur, without 4 pixels at each edge."""
    rows = tf.nn.conv2d(luma, _GAUSSIAN.reshape(9, 1, 1, 1), 1, "VALID")
    return luma[:, 4:-4, 4:-4] - tf.nn.conv2d(rows, _GAUSSIAN.reshape(1, 9, 1, 1), 1, "VALID")


def total(losses: Sequence[tf.Tensor]) -> tf.Tensor:
    """Sum of scalars in their order, always, unlike ``tf.add_n``: see ``training_layers.deterministic_split``."""
    return tf.reduce_sum(tf.stack(losses))


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
    critic: Callable[[tf.Tensor], tf.Tensor], hr: tf.Tensor, sr: tf.Tensor, alpha: tf.Tensor
) -> tf.Tensor:
    """E[(|grad C(x)| - 1)^2] at x between HR and SR: Gulrajani et al. 2017, equation 3.

    Args:
        critic: from images to scores (n, 1).
        hr: photographs (n, h, w, 3).
        sr: generated images of the same shape.
        alpha: how much of x is HR, for each image (n, 1, 1, 1), uniform in [0, 1].
    """
    between = alpha * hr + (1.0 - alpha) * tf.stop_gradient(sr)
    with tf.GradientTape() as tape:
        tape.watch(between)
        scores = critic(between)
    squares = tf.reduce_sum(tf.square(tape.gradient(scores, between)), axis=(1, 2, 3))
    return tf.reduce_mean(tf.square(tf.sqrt(squares + 1e-12) - 1.0))
