"""VGG19 features for the perceptual loss (Simonyan & Zisserman 2015; Ledig et al. 2017, section 2.2.1)."""

from collections.abc import Iterable

import keras
import numpy as np
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.networks.parameters import LAST_LAYER, WEIGHTS_CHOICES, FeatureLayer, PerceptualParameters


class FeatureExtractor:
    """Activations of VGG19 at some of its layers, after their ReLU, with frozen weights.

    Args:
        weights: ``imagenet`` (downloaded by Keras once, its hash checked), a path to a weights file of
            ``keras.applications.VGG19(include_top=False)``, or ``untrained`` (He-normal from ``seed``).
        layers: Keras' names of the layers; ``block5_conv4`` is phi_5,4 of Ledig et al.
        dtype: Keras dtype policy of the convolutions.
        seed: of untrained weights.

    Raises:
        UserError: if the weights cannot be had; there is no silent substitute.
    """

    def __init__(
        self, weights: str, layers: Iterable[FeatureLayer] = (LAST_LAYER,), *, dtype: str = "float32", seed: int = 0
    ) -> None:
        previous = keras.config.dtype_policy()
        keras.config.set_dtype_policy(dtype)  # VGG19() takes no policy of its own
        try:
            vgg = _build_vgg(weights)
            self.layers = tuple(layers)
            outputs = {layer: vgg.get_layer(layer).output for layer in self.layers}
            self.model = keras.Model(vgg.input, outputs, name="vgg19_features")
        finally:
            keras.config.set_dtype_policy(previous)
        if weights == "untrained":
            _initialize(self.model, seed)
        elif weights != "imagenet":
            _load_file(vgg, weights)
        self.model.trainable = False

    def __call__(self, images: keras.KerasTensor) -> list[keras.KerasTensor]:
        """Features of RGB images (n, h, w, 3) in [-1, 1]: for each layer a float32 tensor.

        That of ``block5_conv4`` is (n, h/16, w/16, 512).
        """
        prepared = keras.applications.vgg19.preprocess_input((images + 1.0) * 127.5)
        features = self.model(prepared, training=False)
        return [keras.ops.cast(features[layer], "float32") for layer in self.layers]


def feature_distance(
    extractor: FeatureExtractor, reference: NDArray[np.float32], images: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Mean squared difference of VGG19 features: Ledig et al. 2017, equation 5, averaged over channels too.

    Args:
        extractor: of the features of one layer.
        reference: one picture (1, h, w, 3) in [-1, 1].
        images: others to compare with it, (n, h, w, 3).

    Returns:
        Distances (n,); pictures go through the network one after the other, for the sake of memory.
    """
    [of_reference] = extractor(reference)
    distances = [keras.ops.mean(keras.ops.square(extractor(image[np.newaxis])[0] - of_reference)) for image in images]
    return np.array(distances, np.float32)


def _initialize(model: keras.Model, seed: int) -> None:
    """He-normal weights (He et al. 2015, equation 10), which keep the variance through the ReLUs."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            fan_in = np.prod(kernel.shape[:3])
            layer.set_weights([rng.standard_normal(kernel.shape, np.float32) * np.sqrt(2 / fan_in), 0 * bias])


def _build_vgg(weights: str) -> keras.Model:
    """VGG19 without top; only 'imagenet' makes Keras download weights and check their hash."""
    if weights != "imagenet":
        return keras.applications.VGG19(include_top=False, weights=None)
    try:
        return keras.applications.VGG19(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises bare Exception and ValueError here
        raise UserError(f"the ImageNet weights of VGG19 cannot be downloaded ({error}); {WEIGHTS_CHOICES}") from error


def _load_file(vgg: keras.Model, weights: str) -> None:
    PerceptualParameters(weights=weights).check_file()
    try:
        vgg.load_weights(weights)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{weights} does not hold the weights of VGG19 without top ({reason}); {WEIGHTS_CHOICES}"
        ) from error
