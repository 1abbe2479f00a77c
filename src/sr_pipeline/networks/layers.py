"""Building blocks shared by generator and discriminator.

Only stock Keras layers and ``keras.ops`` are used, so that a saved model opens in plain Keras,
without this package.
"""

import keras

from sr_pipeline.networks.parameters import Padding


def pad(x: keras.KerasTensor, margin: int, padding: Padding) -> keras.KerasTensor:
    """Pad height and width of an NHWC tensor by ``margin`` on each side.

    ``reflect`` mirrors without repeating the edge pixel, so the input must be larger than ``margin``.
    """
    margins = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    return keras.ops.pad(x, margins, mode="reflect" if padding == "reflect" else "constant")


def convolve(
    x: keras.KerasTensor,
    filters: int,
    kernel: int,
    *,
    padding: Padding,
    dtype: keras.DTypePolicy,
    strides: int = 1,
    use_bias: bool = True,
    name: str,
) -> keras.KerasTensor:
    """Convolution that keeps the size (or divides it by ``strides``, rounding up).

    Zero padding is left to the convolution itself, which is faster than a separate pad.
    """
    if padding == "reflect":
        x = pad(x, kernel // 2, padding)
    return keras.layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding="valid" if padding == "reflect" else "same",
        use_bias=use_bias,
        dtype=dtype,
        name=name,
    )(x)


def prelu(x: keras.KerasTensor, dtype: keras.DTypePolicy, name: str) -> keras.KerasTensor:
    """PReLU with one slope a channel (shared over height and width), initially 0.25.

    He et al. 2015, "Delving Deep into Rectifiers", ICCV, section 2.1: channel-wise, initial value 0.25.
    Without the sharing the network would only accept one input size.
    """
    return keras.layers.PReLU(
        alpha_initializer=keras.initializers.Constant(0.25), shared_axes=[1, 2], dtype=dtype, name=name
    )(x)


def normalize(x: keras.KerasTensor, dtype: keras.DTypePolicy, name: str) -> keras.KerasTensor:
    """Batch normalization over all but the channel axis (Ioffe & Szegedy 2015)."""
    return keras.layers.BatchNormalization(momentum=0.9, dtype=dtype, name=name)(x)


def double(
    x: keras.KerasTensor, filters: int, upsampling: str, *, padding: Padding, dtype: keras.DTypePolicy, name: str
) -> keras.KerasTensor:
    """Double height and width: enlarge then convolve ('nearest'), or convolve then shuffle ('subpixel').

    Sub-pixel shuffle: Shi et al. 2016 (ESPCN), CVPR, equation 4, with r = 2.
    """
    if upsampling == "subpixel":
        x = convolve(x, 4 * filters, 3, padding=padding, dtype=dtype, name=f"{name}_conv")
        x = keras.ops.depth_to_space(x, 2)
    else:
        x = keras.layers.UpSampling2D(2, interpolation="nearest", dtype=dtype, name=f"{name}_nearest")(x)
        x = convolve(x, filters, 3, padding=padding, dtype=dtype, name=f"{name}_conv")
    return prelu(x, dtype, f"{name}_prelu")
