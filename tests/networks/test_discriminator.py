import itertools

import numpy as np
import pytest

from sr_pipeline.networks.discriminator import build_discriminator
from sr_pipeline.networks.parameters import DiscriminatorParameters


def test_full_discriminator_has_the_parameters_of_the_design():
    channels = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    convolutions = sum(9 * a * b for a, b in itertools.pairwise(channels)) + 64
    normalizations = 4 * sum(channels[2:])
    dense = 6 * 6 * 512 * 256 + 256 + 256 + 1
    assert build_discriminator(DiscriminatorParameters(), 96).count_params() == convolutions + normalizations + dense


def test_the_papers_discriminator_and_the_critic():
    """1024 dense units; without batch normalization every convolution has biases."""
    channels = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    kernels = sum(9 * a * b for a, b in itertools.pairwise(channels))
    papers = kernels + 64 + 4 * sum(channels[2:]) + 6 * 6 * 512 * 1024 + 1024 + 1024 + 1
    critic = kernels + sum(channels[1:]) + 6 * 6 * 512 * 256 + 256 + 256 + 1
    assert build_discriminator(DiscriminatorParameters(dense=1024), 96).count_params() == papers
    assert build_discriminator(DiscriminatorParameters(batch_normalization=False), 96).count_params() == critic


@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_one_logit_an_image(padding, rng):
    discriminator = build_discriminator(DiscriminatorParameters(filters=4, dense=4, padding=padding), 48)
    logits = discriminator(rng.uniform(-1, 1, (3, 48, 48, 3)).astype(np.float32))
    assert logits.shape == (3, 1)
    assert logits.dtype == "float32"


@pytest.mark.parametrize("filters", [1, 2, 3])
@pytest.mark.parametrize("batch_normalization", [True, False])
def test_few_filters(filters, batch_normalization):
    parameters = DiscriminatorParameters(filters=filters, dense=2, batch_normalization=batch_normalization)
    model = build_discriminator(parameters, 32)
    assert model(np.zeros((2, 32, 32, 3), np.float32), training=True).shape == (2, 1)
