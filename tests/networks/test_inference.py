import functools

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sr_pipeline.errors import UserError
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.inference import SuperResolver, reach
from sr_pipeline.networks.parameters import GeneratorParameters

REFINED, DEEPLY = ({"upsampling": "direct", "refinement": {"filters": 2, "layers": layers}} for layers in (3, 17))
VARIANTS = [{}, {"upsampling": "subpixel", "padding": "zero"}, {"upsampling": "direct"}, REFINED, DEEPLY]


@pytest.fixture(scope="module", params=VARIANTS, ids=["nearest", "subpixel", "direct", "refined", "deeply refined"])
def generator(request):
    model = build_generator(GeneratorParameters(filters=4, blocks=2, **request.param), seed=3)
    if "refinement" in request.param:  # its last layer starts at zero
        kernel, bias = model.get_layer("refinement_conv").get_weights()
        model.get_layer("refinement_conv").set_weights([np.random.default_rng(0).normal(0, 0.1, kernel.shape), bias])
    return model


def test_the_reach_is_what_the_generator_sees(generator):
    """A changed pixel changes the enlargement as far as the reach, and no further."""
    black = np.zeros((1, 41, 41, 3), np.float32)  # stays exactly zero: no rounding hides the slightest change
    changed = black.copy()
    changed[0, 20, 20] = 1.0
    assert not generator(black).numpy().any()
    rows = np.flatnonzero(generator(changed).numpy()[0].any(axis=(1, 2))) // 4
    seen = max(20 - rows.min(), rows.max() - 20)
    assert reach(generator) - 1 <= seen <= reach(generator)


def test_reach_of_the_full_network():
    """Head 4, 16 blocks of two, trunk 1, then 1/2, 1/4 and 4/4."""
    assert reach(build_generator(GeneratorParameters())) == 4 + 32 + 1 + 2


@pytest.fixture(scope="module")
def resolver(generator):
    """One for each edge of tiles; each is traced anew, which takes a second."""
    return functools.cache(lambda tile: SuperResolver(generator, tile))


@settings(max_examples=15)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from((5, 9, 20)))
@example(7, 9, 1)
def test_tiled_equals_whole(generator, resolver, height, width, core):
    lr = np.random.default_rng(height * 61 + width).integers(0, 256, (height, width, 3), np.uint8)
    whole = resolver(64)(lr)
    tiled = resolver(2 * reach(generator) + core)(lr)
    assert whole.shape == (4 * height, 4 * width, 3)
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_a_model_of_another_scale():
    inputs = keras.Input((None, None, 3))
    double = keras.Model(inputs, keras.layers.UpSampling2D(2)(inputs))
    with pytest.raises(UserError, match="does not enlarge by 4; choose a generator of scale 4"):
        SuperResolver(double, 64)


def test_a_model_of_something_else():
    inputs = keras.Input((7,))
    with pytest.raises(UserError, match=r"does not take RGB pictures of any size .*; choose a generator"):
        SuperResolver(keras.Model(inputs, keras.layers.Dense(2)(inputs)), 64)


def test_tiles_narrower_than_what_is_seen(generator):
    with pytest.raises(UserError, match=rf"evaluate\.tile=16 is too small .* at least {2 * reach(generator) + 1}"):
        SuperResolver(generator, 16)
