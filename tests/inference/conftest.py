"""Generators for tests of inference."""

import keras
import numpy as np
import pytest
import skimage.data

from sr_pipeline.imaging.resample import downsample
from sr_pipeline.inference.folding import fold
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters


def build_random(**variant):
    """A small Keras generator whose slopes, biases and BN statistics are as different as training may make them."""
    model = build_generator(GeneratorParameters(filters=4, blocks=2, **variant), seed=3)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        match layer:
            case keras.layers.PReLU():
                weights = [rng.uniform(-0.3, 0.9, array.shape) for array in layer.get_weights()]
            case keras.layers.BatchNormalization():
                gamma, beta, mean, variance = layer.get_weights()
                weights = [rng.uniform(0.5, 1.5, array.shape) for array in (gamma, beta, mean, variance)]
            case keras.layers.Conv2D():
                kernel, *biases = layer.get_weights()
                if not kernel.any():
                    kernel = rng.normal(0, 0.1, kernel.shape)
                weights = [kernel, *(rng.normal(0, 0.1, array.shape) for array in biases)]
            case _:
                continue
        layer.set_weights(weights)
    return model


VARIANTS = {
    "nearest": {},
    "subpixel": {"upsampling": "subpixel", "padding": "zero"},
    "direct": {"upsampling": "direct", "output": "linear"},
    "refined": {"upsampling": "direct", "refinement": {"filters": 3, "layers": 3}},
    "refined by one layer": {"upsampling": "direct", "refinement": {"filters": 2, "layers": 1}, "padding": "zero"},
}


@pytest.fixture(scope="session", params=VARIANTS)
def random_model(request):
    return build_random(**VARIANTS[request.param])


@pytest.fixture(scope="session")
def random_file(tmp_path_factory):
    """The path of such a model."""
    path = tmp_path_factory.mktemp("random") / "generator.keras"
    build_random().save(path)
    return path


@pytest.fixture(scope="session")
def trained():
    """The generator of recipe `sample`, folded, after a short training on real photographs."""
    parameters = GeneratorParameters(filters=24, blocks=4, batch_normalization=False, initialization="interpolating")
    model = build_generator(parameters)
    hr = np.stack([crop for picture in ("astronaut", "coffee", "rocket") for crop in _crops(picture)])
    lr = np.stack([downsample(crop, 4) for crop in hr])
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    history = model.fit(lr / 255, hr / 127.5 - 1, batch_size=8, epochs=4, verbose=0).history["loss"]
    assert history[-1] < 0.9 * history[0]
    return fold(model)


def _crops(picture):
    image = getattr(skimage.data, picture)()
    for top in range(0, image.shape[0] - 95, 96):
        for left in range(0, image.shape[1] - 95, 96):
            yield image[top : top + 96, left : left + 96]
