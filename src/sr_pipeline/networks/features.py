"""VGG19 features for the perceptual loss (Simonyan & Zisserman 2015; Ledig et al. 2017, section 2.2.1)."""

from collections.abc import Iterable

import keras
import numpy as np
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.networks.parameters import (
    LAST_LAYER,
    VGG19_BLOCKS,
    WEIGHTS_CHOICES,
    FeatureLayer,
    PerceptualParameters,
    depth_of,
)
from sr_pipeline.packaged import VGG19, packaged_weights


class FeatureExtractor:
    """Activations of VGG19 at some of its layers, after their ReLU, with frozen weights.

    Args:
        weights: ``packaged`` (ImageNet's, up to ``block2_conv2``), ``imagenet`` (downloaded by Keras once, its hash
            checked), a path to a weights file of ``keras.applications.VGG19(include_top=False)``, or ``untrained``
            (He-normal from ``seed``).
        layers: Keras' names of the layers; ``block5_conv4`` is phi_5,4 of Ledig et al., ``block2_conv2`` phi_2,2.
        dtype: Keras dtype policy of the convolutions.
        seed: of untrained weights.

    Raises:
        UserError: if the weights are not available; nothing is substituted silently.
    """

    def __init__(
        self, weights: str, layers: Iterable[FeatureLayer] = (LAST_LAYER,), *, dtype: str = "float32", seed: int = 0
    ) -> None:
        self.layers = tuple(layers)
        PerceptualParameters(weights=weights).check(self.layers)
        previous = keras.config.dtype_policy()
        keras.config.set_dtype_policy(dtype)  # VGG19() has no argument for it
        try:
            vgg = _load_vgg(weights) if _is_whole(weights) else _build_vgg(self.layers)
            outputs = {layer: vgg.get_layer(layer).output for layer in self.layers}
            self.model = keras.Model(vgg.input, outputs, name="vgg19_features")
        finally:
            keras.config.set_dtype_policy(previous)
        if weights == "untrained":
            _initialize(self.model, seed)
        elif weights == "packaged":
            _take_packaged(self.model)
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


def _take_packaged(model: keras.Model) -> None:
    with np.load(packaged_weights(VGG19), allow_pickle=False) as arrays:
        for layer in model.layers:
            if layer.weights:
                layer.set_weights([arrays[f"{layer.name}/{part}"].astype(np.float32) for part in ("kernel", "bias")])


def _is_whole(weights: str) -> bool:
    """Whether the weights include all of VGG19's convolutions."""
    return weights not in ("packaged", "untrained")


def _build_vgg(layers: Iterable[FeatureLayer]) -> keras.Model:
    """VGG19 as ``keras.applications`` names its layers, up to the last of ``layers``, with weights to be set."""
    x = inputs = keras.Input((None, None, 3))
    for block, (convolutions, channels) in enumerate(VGG19_BLOCKS[: max(map(depth_of, layers)) + 1], start=1):
        if block > 1:
            x = keras.layers.MaxPooling2D(2, 2, name=f"block{block - 1}_pool")(x)
        for number in range(1, convolutions + 1):
            name = f"block{block}_conv{number}"
            x = keras.layers.Conv2D(
                channels, 3, padding="same", activation="relu", kernel_initializer="zeros", name=name
            )(x)
    return keras.Model(inputs, x)


def _load_vgg(weights: str) -> keras.Model:
    """VGG19 without top; only 'imagenet' makes Keras download weights and check their hash."""
    if weights != "imagenet":
        vgg = keras.applications.VGG19(include_top=False, weights=None)
        _load_file(vgg, weights)
        return vgg
    try:
        return keras.applications.VGG19(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises bare Exception and ValueError here
        raise UserError(f"the ImageNet weights of VGG19 cannot be downloaded ({error}); {WEIGHTS_CHOICES}") from error


def _load_file(vgg: keras.Model, weights: str) -> None:
    try:
        vgg.load_weights(weights)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{weights} does not hold the weights of VGG19 without top ({reason}); {WEIGHTS_CHOICES}"
        ) from error
