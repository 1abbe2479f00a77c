"""The discriminator of Ledig et al. 2017, figure 4."""

import keras

from sr_pipeline.networks.layers import Style, convolve, normalize
from sr_pipeline.networks.parameters import DiscriminatorParameters

_SLOPE = 0.2  # of LeakyReLU: Ledig et al. 2017, section 2.1.1


def build_discriminator(
    parameters: DiscriminatorParameters, image_size: int, *, dtype: str = "float32", seed: int = 0
) -> keras.Model:
    """Build the discriminator.

    Args:
        parameters: size and variant of the network.
        image_size: edge of the square input images in pixels; a multiple of 16.
        dtype: Keras dtype policy, e.g. ``float32`` or ``mixed_bfloat16`` (weights stay float32).
        seed: of the initial weights.

    Returns:
        A model from RGB (n, s, s, 3) in [-1, 1] to logits (n, 1), float32; the sigmoid of a logit is
        the probability that the image is a photograph. It takes the layers that train faster.
    """
    keras.utils.set_random_seed(seed)
    style = Style.of(parameters.padding, dtype, for_training=True)
    normalized = parameters.batch_normalization
    inputs = keras.Input((image_size, image_size, 3), name="image", dtype="float32")
    x = inputs
    for index in range(8):
        x = convolve(
            x,
            parameters.filters * 2 ** (index // 2),
            3,
            style,
            strides=1 + index % 2,
            use_bias=index == 0 or not normalized,
            name=f"conv{index + 1}",
        )
        if normalized and index > 0:
            x = normalize(x, style, f"bn{index + 1}")
        x = keras.layers.LeakyReLU(_SLOPE, dtype=style.dtype, name=f"lrelu{index + 1}")(x)
    x = keras.layers.Flatten(dtype=style.dtype, name="flatten")(x)
    x = keras.layers.Dense(parameters.dense, dtype=style.dtype, name="dense")(x)
    x = keras.layers.LeakyReLU(_SLOPE, dtype=style.dtype, name="dense_lrelu")(x)
    outputs = keras.layers.Dense(1, dtype="float32", name="logit")(x)
    return keras.Model(inputs, outputs, name="discriminator")
