"""Building blocks shared by generator and discriminator.

Only stock Keras layers and ``keras.ops`` are used, so that a saved model opens in plain Keras,
without this package. Networks in training take faster layers with the same weights (see ``training_layers``).
"""

from dataclasses import dataclass

import keras

from sr_pipeline.networks.parameters import Padding


@dataclass(frozen=True)
class Style:
    """What all layers of one network have in common.

    Attributes:
        padding: how convolutions pad.
        dtype: the type they compute in.
        normalization: Keras' class of batch normalization, or one that computes the same faster.
        synchronized: whether batch normalization takes its moments over the batches of all devices.
        picture_convolution: the same for convolutions whose output is a picture.
        doubling_convolution: one that also enlarges by nearest neighbours; None: two separate layers.
        phases_constraint: keeps the phases of a convolution equal in training.
        deterministic_split: what gives a tensor to two users whose gradients are added in one order.
    """

    padding: Padding
    dtype: keras.DTypePolicy
    normalization: type[keras.layers.BatchNormalization] = keras.layers.BatchNormalization
    picture_convolution: type[keras.layers.Conv2D] = keras.layers.Conv2D
    doubling_convolution: type[keras.layers.Conv2D] | None = None
    phases_constraint: type[keras.constraints.Constraint] | None = None
    deterministic_split: type[keras.layers.Layer] | None = None
    synchronized: bool = False

    @classmethod
    def of(cls, padding: Padding, dtype: str, *, for_training: bool) -> "Style":
        """The style of a network that is trained, or of one that is saved."""
        policy = keras.DTypePolicy(dtype)
        if not for_training:
            return cls(padding, policy)
        import tensorflow as tf

        from sr_pipeline.networks.training_layers import (
            DeterministicSplit,
            DoublingConv2D,
            EqualPhases,
            FusedBatchNormalization,
            PackedConv2D,
        )

        several = tf.distribute.get_strategy().num_replicas_in_sync > 1
        layers = (FusedBatchNormalization, PackedConv2D, DoublingConv2D, EqualPhases, DeterministicSplit)
        return cls(padding, policy, *layers, synchronized=several)


def reflect_pad(x: keras.KerasTensor, margin: int, name: str) -> keras.KerasTensor:
    """Mirror ``margin`` pixels at each edge of an NHWC tensor, which must be larger than ``margin``.

    The edge pixel itself is not repeated.
    """
    padded = keras.ops.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
    return _named(padded, name)


def _padded(x: keras.KerasTensor, kernel: int, style: Style, name: str) -> tuple[keras.KerasTensor, str]:
    """Input of a convolution that keeps the size, and the padding left to the convolution itself.

    It does zero padding itself, which is faster than a separate pad.
    """
    if style.padding == "reflect":
        return reflect_pad(x, kernel // 2, f"{name}_pad"), "valid"
    return x, "same"


def convolve(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    style: Style,
    *,
    strides: int = 1,
    use_bias: bool = True,
    name: str,
) -> keras.KerasTensor:
    """Convolution that keeps the size (or divides it by ``strides``, rounding up)."""
    x, padding = _padded(x, kernel, style, name)
    return keras.layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        dtype=style.dtype,
        name=name,
    )(x)


def convolve_to_picture(x: keras.KerasTensor, kernel: int, style: Style, name: str) -> keras.KerasTensor:
    """Convolution at the full size, of which both edges are even, to the RGB of a picture."""
    x, padding = _padded(x, kernel, style, name)
    return style.picture_convolution(3, kernel, padding=padding, dtype=style.dtype, name=name)(x)


def prelu(x: keras.KerasTensor, style: Style, name: str) -> keras.KerasTensor:
    """PReLU with one slope per channel (shared over height and width), initially 0.25.

    He et al. 2015, "Delving Deep into Rectifiers", ICCV, section 2.1: channel-wise, initial value 0.25.
    Without sharing, the network would accept only one input size.
    """
    return keras.layers.PReLU(
        alpha_initializer=keras.initializers.Constant(0.25), shared_axes=[1, 2], dtype=style.dtype, name=name
    )(x)


def normalize(x: keras.KerasTensor, style: Style, name: str) -> keras.KerasTensor:
    """Batch normalization over all but the channel axis (Ioffe & Szegedy 2015)."""
    layer = style.normalization(momentum=0.9, synchronized=style.synchronized, dtype=style.dtype, name=name)
    return layer(x)


def double(x: keras.KerasTensor, filters: int, upsampling: str, style: Style, name: str) -> keras.KerasTensor:
    """Double height and width: enlarge then convolve ('nearest'), or convolve then shuffle ('subpixel').

    Sub-pixel shuffle: Shi et al. 2016 (ESPCN), CVPR, equation 4, with r = 2.
    """
    if upsampling == "subpixel":
        x = convolve(x, 4 * filters, 3, style, name=f"{name}_conv")
        x = shuffle(x, 2, f"{name}_shuffle")
    elif style.doubling_convolution:
        mirror = style.padding == "reflect"
        x = style.doubling_convolution(filters, mirror=mirror, dtype=style.dtype, name=f"{name}_conv")(x)
    else:
        x = keras.layers.UpSampling2D(2, interpolation="nearest", dtype=style.dtype, name=f"{name}_nearest")(x)
        x = convolve(x, filters, 3, style, name=f"{name}_conv")
    return prelu(x, style, f"{name}_prelu")


def enlarge_at_once(
    x: keras.KerasTensor, channels: int, scale: int, style: Style, name: str, *, equal_phases: bool
) -> keras.KerasTensor:
    """One 3x3 convolution to the channels of all ``scale`` x ``scale`` pixels that a pixel becomes, and a shuffle.

    With ``equal_phases``, training keeps these pixels equal where the input is constant: see ``EqualPhases``.
    """
    x, padding = _padded(x, 3, style, f"{name}_conv")
    constraint = style.phases_constraint(scale**2) if style.phases_constraint and equal_phases else None
    x = keras.layers.Conv2D(
        channels * scale**2,
        3,
        padding=padding,
        kernel_constraint=constraint,
        bias_constraint=constraint,
        dtype=style.dtype,
        name=f"{name}_conv",
    )(x)
    return shuffle(x, scale, f"{name}_shuffle")


def refine(
    picture: keras.KerasTensor, features: keras.KerasTensor, layers: int, style: Style, name: str
) -> keras.KerasTensor:
    """Add to a picture the output of ``layers`` 3x3 convolutions of it and of features of the same size.

    All but the last, which makes RGB, have as many filters as there are features.
    """
    x = keras.layers.Concatenate(dtype=style.dtype, name=f"{name}_concat")([picture, features])
    for index in range(1, layers):
        x = convolve(x, features.shape[-1], 3, style, name=f"{name}{index}_conv")
        x = prelu(x, style, f"{name}{index}_prelu")
    x = convolve_to_picture(x, 3, style, f"{name}_conv")
    return keras.layers.Add(dtype=style.dtype, name=f"{name}_add")([picture, x])


def shuffle(x: keras.KerasTensor, scale: int, name: str) -> keras.KerasTensor:
    """Make a square of ``scale`` x ``scale`` pixels of each pixel's channels: Shi et al. 2016, equation 4."""
    return _named(keras.ops.depth_to_space(x, scale), name)


def _named(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Name the operation that made ``x``.

    Keras numbers unnamed operations across the whole process, so equal models would otherwise be saved
    as different bytes.
    """
    x._keras_history.operation.name = name
    return x
