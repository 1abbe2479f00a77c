"""Growing networks (Karras et al. 2018, "Progressive Growing of GANs", ICLR, section 2 and figure 2).

A generator's lower half (x2) is trained against the discriminator without its first two convolutions, on images of
half the size; then the upper halves are faded in. The generator's lower half ends, and the discriminator's half
begins, with a 1x1 convolution between features and RGB (the paper's toRGB and fromRGB).
"""

import keras

from sr_pipeline.networks.layers import Style
from sr_pipeline.networks.parameters import DiscriminatorParameters, GeneratorParameters

_DOUBLED = "double1_prelu"  # output of the generator's first doubling
_HALVED = "lrelu2"  # output of the discriminator's first halving


class Growth:
    """The half-size views of a generator and a discriminator, which share their layers.

    Args:
        generator: as ``build_generator`` makes it.
        discriminator: as ``build_discriminator`` makes it.
        parameters: what they were built with.
        dtype: Keras dtype policy.
        seed: of the weights of the two 1x1 convolutions.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        parameters: tuple[GeneratorParameters, DiscriminatorParameters],
        *,
        dtype: str,
        seed: int,
    ) -> None:
        keras.utils.set_random_seed(seed)
        style = Style("zero", keras.DTypePolicy(dtype))
        doubled = generator.get_layer(_DOUBLED).output
        halved = discriminator.get_layer(_HALVED).output
        self.to_rgb = _one_by_one(doubled.shape[-1], 3, "tanh", style, "to_rgb")
        self.from_rgb = _one_by_one(
            3, halved.shape[-1], keras.layers.LeakyReLU(0.2, dtype=style.dtype), style, "from_rgb"
        )
        self.half_generator = keras.Model(generator.input, self.to_rgb(doubled), name="half_generator")
        self.both_generators = keras.Model(
            generator.input, [generator.output, self.half_generator.output], name="both_generators"
        )
        self.first_layers = keras.Model(discriminator.input, halved, name="first_layers")
        self.later_layers = keras.Model(halved, discriminator.output, name="later_layers")

    def generate_half(self, lr: keras.KerasTensor) -> keras.KerasTensor:
        """Images of twice the size of ``lr`` (n, h, w, 3) in [0, 1], in [-1, 1]."""
        return self.half_generator(lr, training=True)

    def half_logits(self, images: keras.KerasTensor) -> keras.KerasTensor:
        """Logits (n, 1) of images of half the full size."""
        return self.later_layers(self.from_rgb(images, training=True), training=True)

    def generate_faded(self, lr: keras.KerasTensor, alpha: keras.KerasTensor) -> keras.KerasTensor:
        """Images of four times the size: ``alpha`` (0 to 1) of the full generator's, the rest the half one's."""
        full, half = self.both_generators(lr, training=True)
        return alpha * full + (1.0 - alpha) * enlarge_twice(half)

    def faded_logits(self, images: keras.KerasTensor, alpha: keras.KerasTensor) -> keras.KerasTensor:
        """Logits (n, 1): ``alpha`` (0 to 1) of the full discriminator's first features, the rest the half one's."""
        full = self.first_layers(images, training=True)
        half = self.from_rgb(halve(images), training=True)
        alpha = keras.ops.cast(alpha, full.dtype)
        return self.later_layers(alpha * full + (1.0 - alpha) * half, training=True)


def halve(images: keras.KerasTensor) -> keras.KerasTensor:
    """Mean of each 2x2 pixels: Karras et al. 2018, figure 2."""
    return keras.ops.average_pool(images, 2, strides=2, padding="valid")


def enlarge_twice(images: keras.KerasTensor) -> keras.KerasTensor:
    """Nearest neighbour: Karras et al. 2018, figure 2."""
    return keras.ops.repeat(keras.ops.repeat(images, 2, axis=1), 2, axis=2)


def _one_by_one(channels: int, filters: int, activation: object, style: Style, name: str) -> keras.Model:
    inputs = keras.Input((None, None, channels))
    outputs = keras.layers.Conv2D(filters, 1, activation=activation, dtype=style.dtype)(inputs)
    return keras.Model(inputs, keras.ops.cast(outputs, "float32") if filters == 3 else outputs, name=name)
