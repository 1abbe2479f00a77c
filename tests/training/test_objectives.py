import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_pipeline.training.objectives import (
    discriminator_loss,
    generator_adversarial_loss,
    perceptual_loss,
    pixel_loss,
)

LOGITS = st.lists(st.floats(-15, 15), min_size=1, max_size=8)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


@settings(deadline=None)
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
    assert perceptual_loss(a, b, 0.5).numpy() == pytest.approx(0.25 * ((a - b) ** 2).mean())
