"""A generator's weights between phases: in a float32 model, taken from a file, and interpolated."""

import zipfile
from pathlib import Path

import keras
import numpy as np

from sr_pipeline.errors import UserError
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.training.checkpoint import Arrays
from sr_pipeline.training.setup import TrainingSetup


def float32_generator(setup: TrainingSetup, weights: Arrays) -> keras.Model:
    """A generator of stock Keras layers with these weights that computes in float32."""
    model = build_generator(setup.recipe.generator, seed=setup.seed)
    model.set_weights(weights)
    return model


def pretrained_weights(setup: TrainingSetup, initial: Arrays, file: Path) -> Arrays:
    """The weights of the generator in ``file``, with ``initial`` ones of layers that it does not have.

    Those layers must not change the picture.

    Raises:
        UserError: if it is not a generator of this recipe's network.
    """
    started = float32_generator(setup, initial)
    try:
        model = keras.saving.load_model(file, compile=False)
        for layer in model.layers:
            started.get_layer(layer.name).set_weights(layer.get_weights())
        picture = np.linspace(0, 1, 3 * 8 * 8, dtype=np.float32).reshape(1, 8, 8, 3)
        if not np.allclose(model(picture), started(picture), atol=1e-4):
            raise ValueError("it computes something else")
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{file} is not a generator of this recipe's network ({reason}); set recipes.<name>.generator to the one "
            "it was trained with, or name another file in recipes.<name>.pretraining"
        ) from error
    return started.get_weights()


def interpolate(setup: TrainingSetup, pretrained: Arrays, adversarial: Arrays) -> Arrays:
    """Weights between those of both phases, as the recipe says: Wang et al. 2018, section 3.4."""
    alpha = setup.recipe.adversarial.interpolation
    model = build_generator(setup.recipe.generator, seed=setup.seed, for_training=True)
    weights = zip(pretrained, adversarial, strict=True)
    model.set_weights([(1 - alpha) * start + alpha * end for start, end in weights])
    for weight in model.weights:
        if weight.constraint:  # which those of the pretraining may not meet
            weight.assign(weight.constraint(weight))
    return model.get_weights()
