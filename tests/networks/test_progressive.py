import numpy as np
import pytest

from sr_pipeline.networks.discriminator import build_discriminator
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import DiscriminatorParameters, GeneratorParameters
from sr_pipeline.networks.progressive import Growth, enlarge_twice, halve

NETWORKS = GeneratorParameters(filters=4, blocks=1), DiscriminatorParameters(filters=4, dense=4)


@pytest.fixture(params=["nearest", "subpixel"])
def growth(request):
    generator = build_generator(NETWORKS[0].model_copy(update={"upsampling": request.param}), for_training=True)
    return Growth(generator, build_discriminator(NETWORKS[1], 48), NETWORKS, dtype="float32", seed=2)


def test_halves_and_wholes_have_their_sizes(growth, rng):
    lr = rng.uniform(size=(2, 12, 12, 3)).astype(np.float32)
    half = growth.generate_half(lr)
    assert half.shape == (2, 24, 24, 3)
    assert growth.half_logits(half).shape == (2, 1)
    assert growth.generate_faded(lr, 0.5).shape == (2, 48, 48, 3)
    assert growth.faded_logits(growth.generate_faded(lr, 0.5), 0.5).shape == (2, 1)


def test_fading_goes_from_the_half_to_the_whole(growth, rng):
    lr = rng.uniform(size=(2, 12, 12, 3)).astype(np.float32)
    full, half = growth.both_generators(lr, training=True)
    assert np.allclose(growth.generate_faded(lr, 1.0), full, atol=1e-6)
    assert np.allclose(growth.generate_faded(lr, 0.0), enlarge_twice(half), atol=1e-6)
    images = rng.uniform(-1, 1, (3, 48, 48, 3)).astype(np.float32)
    assert np.allclose(growth.faded_logits(images, 0.0), growth.half_logits(halve(images)), atol=1e-5)
    whole = growth.later_layers(growth.first_layers(images, training=True), training=True)
    assert np.allclose(growth.faded_logits(images, 1.0), whole, atol=1e-5)


def test_halving_undoes_enlarging(rng):
    images = rng.uniform(-1, 1, (1, 6, 8, 3)).astype(np.float32)
    assert np.allclose(halve(enlarge_twice(images)), images, atol=1e-6)


def test_only_pictures_are_float32_in_mixed_precision():
    """Losses need that; features in between stay in the type that computes fast."""
    generator = build_generator(NETWORKS[0], dtype="mixed_bfloat16", for_training=True)
    discriminator = build_discriminator(NETWORKS[1], 48, dtype="mixed_bfloat16")
    growth = Growth(generator, discriminator, NETWORKS, dtype="mixed_bfloat16", seed=2)
    assert growth.to_rgb.output.dtype == "float32"
    assert growth.from_rgb.output.dtype == "bfloat16"
