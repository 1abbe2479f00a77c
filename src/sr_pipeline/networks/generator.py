"""The generator: SRResNet of Ledig et al. 2017, figure 4."""

import keras
import numpy as np
from numpy.typing import NDArray

from sr_pipeline.networks.layers import (
    Style,
    convolve,
    convolve_to_picture,
    double,
    enlarge_at_once,
    normalize,
    prelu,
    refine,
)
from sr_pipeline.networks.parameters import SCALE, GeneratorParameters


def build_generator(
    parameters: GeneratorParameters, *, dtype: str = "float32", seed: int = 0, for_training: bool = False
) -> keras.Model:
    """Build the generator.

    Args:
        parameters: size and variant of the network.
        dtype: Keras dtype policy, e.g. ``float32`` or ``mixed_bfloat16`` (weights stay float32).
        seed: of the initial weights.
        for_training: use the layers that train faster; such a model cannot be opened by plain Keras.

    Returns:
        A model from low-resolution RGB (n, h, w, 3) in [0, 1] to super-resolved RGB (n, 4h, 4w, 3), float32, for any h
        and w of at least 5 (the 9x9 reflection padding mirrors 4 pixels). Black is -1 and white 1; a linear output can
        go beyond them, so that a loss has a gradient there, and has to be clipped.
    """
    keras.utils.set_random_seed(seed)
    style = Style.of(parameters.padding, dtype, for_training=for_training)
    bias = not parameters.batch_normalization  # BN's own offset makes the bias redundant

    def norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        return normalize(x, style, name) if parameters.batch_normalization else x

    inputs = keras.Input((None, None, 3), name="low_resolution", dtype="float32")
    x = convolve(inputs, parameters.filters, 9, style, name="head_conv")
    head = x = prelu(x, style, "head_prelu")
    if style.deterministic_split:  # with the two users in the first block there would be three
        head, x = style.deterministic_split(dtype=style.dtype, name="head_split")(x)
    for index in range(1, parameters.blocks + 1):
        block = f"block{index}"
        y = convolve(x, parameters.filters, 3, style, use_bias=bias, name=f"{block}_conv1")
        y = norm(y, f"{block}_bn1")
        y = prelu(y, style, f"{block}_prelu")
        y = convolve(y, parameters.filters, 3, style, use_bias=bias, name=f"{block}_conv2")
        y = norm(y, f"{block}_bn2")
        x = keras.layers.Add(dtype=style.dtype, name=f"{block}_add")([x, y])
    x = convolve(x, parameters.filters, 3, style, use_bias=bias, name="trunk_conv")
    x = norm(x, "trunk_bn")
    x = keras.layers.Add(dtype=style.dtype, name="trunk_add")([head, x])
    if parameters.upsampling == "direct":
        x = _enlarge_directly(x, parameters, style)
    else:
        for index in (1, 2):
            x = double(x, parameters.filters, parameters.upsampling, style, f"double{index}")
        x = convolve_to_picture(x, 9, style, "tail_conv")
    outputs = keras.layers.Activation(parameters.output, dtype="float32", name="super_resolved")(x)
    model = keras.Model(inputs, outputs, name="generator")
    if parameters.initialization == "interpolating":
        _start_as_interpolation(model, parameters)
    if parameters.refinement:
        last = model.get_layer("refinement_conv")
        last.set_weights([np.zeros_like(array) for array in last.get_weights()])
    return model


def _enlarge_directly(x: keras.KerasTensor, parameters: GeneratorParameters, style: Style) -> keras.KerasTensor:
    """The picture made from features by one convolution and a shuffle by 4, refined if ``parameters`` ask for it."""
    picture = enlarge_at_once(x, 3, SCALE, style, "tail", equal_phases=parameters.equal_phases)
    refinement = parameters.refinement
    if not refinement:
        return picture
    detail = enlarge_at_once(x, refinement.filters, SCALE, style, "detail", equal_phases=parameters.equal_phases)
    return refine(picture, prelu(detail, style, "detail_prelu"), refinement.layers, style, "refinement")


def _start_as_interpolation(model: keras.Model, parameters: GeneratorParameters) -> None:
    """Set the initial weights so that the untrained network already enlarges its input smoothly.

    Three channels carry red, green and blue unchanged; residual branches start at zero (as in
    Goyal et al. 2017, arXiv:1706.02677, section 5.1); what enlarges interpolates linearly: each doubling by
    smoothing with [1 2 1]/4 what is enlarged to nearest neighbours, or the last convolution of all positions;
    which reads just those three channels, and undoes what a tanh compresses by a slope of 1.2. A short training
    then refines instead of finding an enlargement from noise.
    """
    rgb = np.arange(3)
    slope = 1.2 if parameters.output == "tanh" else 1.0
    for layer in model.layers:
        weights = layer.get_weights()
        if layer.name.endswith("_conv2") or layer.name == "trunk_conv":
            weights[0][:] = 0.0
        elif layer.name == "head_conv":
            weights[0][..., rgb] = 0.0
            weights[0][4, 4, rgb, rgb] = 1.0
        elif layer.name in ("double1_conv", "double2_conv"):
            weights[0][..., rgb] = 0.0
            smooth = np.outer([1, 2, 1], [1, 2, 1]) / 16
            for channel in rgb:
                weights[0][:, :, channel, channel] = smooth
        elif layer.name == "tail_conv":
            weights[0][:] = 0.0
            if parameters.upsampling == "direct":
                for channel in rgb:
                    weights[0][:, :, channel, channel::3] = 2 * slope * _linear_interpolation()
            else:
                weights[0][4, 4, rgb, rgb] = 2 * slope
            weights[1][:] = -slope
        layer.set_weights(weights)


def _linear_interpolation() -> NDArray[np.float64]:
    """Kernels (3, 3, 16) of the 4x4 positions inside a pixel, row by row."""
    centres = (np.arange(SCALE) + 0.5) / SCALE - 0.5
    taps = np.stack([np.maximum(-centres, 0), 1 - np.abs(centres), np.maximum(centres, 0)])  # pixel before, this, next
    return np.einsum("yi,xj->yxij", taps, taps).reshape(3, 3, SCALE**2)
