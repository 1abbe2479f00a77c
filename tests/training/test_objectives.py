import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from sr_pipeline.training.objectives import (
    critic_loss,
    discriminator_loss,
    generator_adversarial_loss,
    generator_wasserstein_loss,
    gradient_penalty,
    perceptual_loss,
    pixel_loss,
    smooth_area_loss,
)

LOGITS = st.lists(st.floats(-15, 15), min_size=1, max_size=8)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


@given(LOGITS, LOGITS)
def test_adversarial_losses_are_those_of_the_papers(hr, sr):
    expected = -np.mean(np.log(sigmoid(hr))) - np.mean(np.log(1 - sigmoid(sr)))
    assert discriminator_loss(np.float64(hr), np.float64(sr)).numpy() == pytest.approx(expected, abs=1e-6)
    expected = -np.mean(np.log(sigmoid(sr)))
    assert generator_adversarial_loss(np.float64(sr)).numpy() == pytest.approx(expected, abs=1e-6)


def test_a_certain_discriminator_gives_finite_losses():
    logits = np.float32([[-1000.0]])
    assert generator_adversarial_loss(logits).numpy() == pytest.approx(1000)
    assert discriminator_loss(-logits, logits).numpy() == 0


def test_means_over_everything(rng):
    a, b = rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(2, 3, 4, 5))
    assert pixel_loss(a, b).numpy() == pytest.approx(((a - b) ** 2).mean())
    assert perceptual_loss([a], [b], [1.0], 0.5).numpy() == pytest.approx(0.25 * ((a - b) ** 2).mean())
    expected = 2 * ((a - b) ** 2).mean() + 3 * (a**2).mean()
    assert perceptual_loss([a, a], [b, 0 * a], [2.0, 3.0]).numpy() == pytest.approx(expected)


def test_dots_on_smooth_areas_cost_more_than_in_textures(rng):
    smooth = np.full((1, 40, 40, 3), 0.2, np.float32)
    texture = rng.uniform(-1, 1, (1, 40, 40, 3)).astype(np.float32)
    dots = np.zeros_like(smooth)
    dots[:, ::4, ::4] = 0.1
    on_smooth, in_texture = (smooth_area_loss(hr, hr + dots, 4.0).numpy() for hr in (smooth, texture))
    assert on_smooth > 100 * in_texture > 0
    assert smooth_area_loss(texture, texture, 4.0).numpy() == 0


def test_smooth_area_loss_is_what_it_says(rng):
    hr = (0.05 * rng.normal(size=(2, 24, 28, 3))).astype(np.float32)
    sr = (hr + 0.03 * rng.normal(size=hr.shape)).astype(np.float32)
    losses = []
    for photograph, made in zip(hr, sr, strict=True):
        luma = [image.astype(float) @ [65.481, 128.553, 24.966] / 2 for image in (photograph, made)]
        weights = np.exp(-ndimage.generic_filter(luma[0], np.std, 5) / 3)
        detail = [y - ndimage.gaussian_filter(y, 1, radius=4) for y in luma]
        losses.append((weights * (detail[0] - detail[1]) ** 2)[4:-4, 4:-4].mean())
    assert smooth_area_loss(hr, sr, 3.0).numpy() == pytest.approx(np.mean(losses), rel=1e-3)


def test_wasserstein_losses_are_means_of_scores(rng):
    hr, sr = rng.normal(size=(5, 1)), rng.normal(size=(5, 1))
    assert critic_loss(hr, sr).numpy() == pytest.approx(sr.mean() - hr.mean())
    assert generator_wasserstein_loss(sr).numpy() == pytest.approx(-sr.mean())


def test_the_gradient_penalty_of_a_linear_critic_has_a_closed_form(rng):
    """The gradient of w·x is w wherever x lies."""
    weights = rng.normal(size=(6, 6, 3)).astype(np.float32)
    hr, sr = (rng.uniform(-1, 1, (4, 6, 6, 3)).astype(np.float32) for _ in range(2))
    penalty = gradient_penalty(
        lambda images: tf.reduce_sum(images * weights, axis=(1, 2, 3))[:, None], hr, sr, rng.uniform(size=(4, 1, 1, 1))
    )
    assert penalty.numpy() == pytest.approx((np.linalg.norm(weights) - 1) ** 2, rel=1e-5)


def test_the_gradient_penalty_is_taken_between_the_images():
    """The gradient of x²/2 is x: with an alpha of 0.25 it is a quarter HR and three quarters SR."""
    hr, sr = np.full((1, 1, 1, 1), 8.0, np.float32), np.full((1, 1, 1, 1), 4.0, np.float32)
    penalty = gradient_penalty(lambda x: tf.square(x)[:, 0, 0] / 2, hr, sr, np.full((1, 1, 1, 1), 0.25, np.float32))
    assert penalty.numpy() == pytest.approx((0.25 * 8 + 0.75 * 4 - 1) ** 2)
