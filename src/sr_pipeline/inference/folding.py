"""Folding a Keras generator into what inference computes.

Batch normalization goes into the convolution before it, and enlargement by nearest neighbours into the one after it;
the results stay the same except for rounding. NumPy only: the command line starts without TensorFlow.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.inference.folded_generator import Convolution, FoldedGenerator, Weights
from sr_pipeline.networks.parameters import SCALE, Output, Padding


def fold(model: Any) -> FoldedGenerator:
    """Fold a Keras model that ``networks.generator.build_generator`` made, not for training.

    Raises:
        UserError: if it is another.
    """
    weights = {layer.name: [np.asarray(array) for array in layer.get_weights()] for layer in model.layers}
    try:
        config = json.loads(model.to_json())["config"]
    except (NotImplementedError, TypeError, ValueError) as error:  # of classes that do not describe themselves
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"this model is not a generator of this software ({reason}); name one that it trained"
        ) from error
    return _fold("this model", config, weights)


def read_folded(path: str | Path) -> FoldedGenerator:
    """Fold the generator in a ``.keras`` file, which is read without Keras; nothing in it is executed.

    Raises:
        UserError: if there is none, or it is something else.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no model file {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))["config"]
            content = archive.read("model.weights.h5")
        with h5py.File(io.BytesIO(content)) as file:
            stored = [group["vars"] for group in file["layers"].values()]
            weights = {arrays.attrs["name"]: [arrays[str(i)][()] for i in range(len(arrays))] for arrays in stored}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is not a Keras model ({reason}); train again, or name another file") from error
    return _fold(str(path), config, weights)


def _fold(source: str, config: dict[str, Any], weights: dict[str, list[Weights]]) -> FoldedGenerator:
    try:
        return _Walk(config["layers"], weights).generator()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{source} is not a generator of this software ({error}); name one that it trained") from error


_SETTINGS: dict[str, dict[str, Any]] = {
    "BatchNormalization": {"axis": -1},
    "Concatenate": {"axis": -1},
    "Conv2D": {"strides": [1, 1], "dilation_rate": [1, 1], "groups": 1, "activation": "linear"},
    "Pad": {"mode": "reflect"},
    "PReLU": {"shared_axes": [1, 2]},
    "UpSampling2D": {"size": [2, 2], "interpolation": "nearest"},
}


class _Walk:
    """Follows a saved model from layer to layer, as ``build_generator`` puts them together, and folds them.

    A model that differs in any of it raises a ``ValueError`` or a ``KeyError``.
    """

    def __init__(self, layers: list[dict[str, Any]], weights: dict[str, list[Weights]]) -> None:
        self._layers = {layer["name"]: layer for layer in layers}
        self._weights = weights
        self._seen = {"low_resolution"}
        self._last = "low_resolution"

    def generator(self) -> FoldedGenerator:
        head = self._convolution("head", "_conv", 9, prelu="_prelu")
        skipped, blocks, number = self._last, [], 1
        while f"block{number}_add" in self._layers:
            entered = self._last
            first = self._convolution(f"block{number}", "_conv1", 3, "_bn1", "_prelu")
            blocks.append((first, self._convolution(f"block{number}", "_conv2", 3, "_bn2")))
            self._step(f"block{number}_add", "Add", entered, self._last)
            number += 1
        trunk = self._convolution("trunk", "_conv", 3, "_bn")
        self._step("trunk_add", "Add", skipped, self._last)
        direct = "tail_shuffle" in self._layers
        upsampling_blocks = () if direct else (self._doubling("double1"), self._doubling("double2"))
        features = self._last
        tail = self._convolution("tail", "_conv", 3 if direct else 9)
        refinement: tuple[Convolution, ...] = ()
        if "detail_conv" in self._layers:
            detail, refinement = self._refinement(features)
            tail = _side_by_side(tail, detail)
        self._step("super_resolved", "Activation")
        output = self._layers["super_resolved"]["config"]["activation"]
        if output not in get_args(Output):
            raise ValueError(f"its output is {output}")
        if len(self._seen) < len(self._layers):
            raise ValueError(f"it has more layers than {len(self._seen)}")
        padding: Padding = "reflect" if "head_conv_pad" in self._layers else "zero"
        return FoldedGenerator(head, tuple(blocks), trunk, upsampling_blocks, tail, padding, output, refinement)

    def _refinement(self, features: str) -> tuple[Convolution, tuple[Convolution, ...]]:
        """What makes further channels from ``features``, and what refines the picture, which comes last before it."""
        picture, self._last = self._last, features
        detail = self._convolution("detail", "_conv", 3, prelu="_prelu")
        self._step("refinement_concat", "Concatenate", picture, self._last)
        layers: list[Convolution] = []
        while (part := f"refinement{len(layers) + 1}") + "_conv" in self._layers:
            layers.append(self._convolution(part, "_conv", 3, prelu="_prelu"))
        layers.append(self._convolution("refinement", "_conv", 3))
        self._step("refinement_add", "Add", picture, self._last)
        return detail, tuple(layers)

    def _step(self, name: str, kind: str, *inputs: str) -> list[NDArray[np.float64]]:
        """Check the next layer and give its weights."""
        layer = self._layers[name]
        if (layer["class_name"], _inputs(layer["inbound_nodes"])) != (kind, list(inputs or [self._last])):
            raise ValueError(f"{name} is another layer")
        for setting, value in _SETTINGS.get(kind, {}).items():
            if layer["config"][setting] != value:
                raise ValueError(f"{name} has {setting}={layer['config'][setting]}")
        self._last = name
        self._seen.add(name)
        return [array.astype(np.float64) for array in self._weights.get(name, [])]

    def _convolution(self, part: str, conv: str, size: int, normalization: str = "", prelu: str = "") -> Convolution:
        name = part + conv
        if "head_conv_pad" in self._layers:
            self._step(f"{name}_pad", "Pad")
        kernel, *biases = self._step(name, "Conv2D")
        if kernel.shape[:2] != (size, size):
            raise ValueError(f"{name} has a kernel of {kernel.shape}")
        bias = biases[0] if biases else np.zeros(kernel.shape[-1])
        if normalization and part + normalization in self._layers:
            gamma, beta, mean, variance = self._step(part + normalization, "BatchNormalization")
            scale = gamma / np.sqrt(variance + self._layers[self._last]["config"]["epsilon"])
            kernel, bias = kernel * scale, (bias - mean) * scale + beta
        if f"{part}_shuffle" in self._layers:
            self._step(f"{part}_shuffle", "DepthToSpace")
            if self._layers[self._last]["config"]["block_size"] != (SCALE if part in ("tail", "detail") else 2):
                raise ValueError(f"{part}_shuffle makes other squares")
        slope = self._step(part + prelu, "PReLU")[0].reshape(-1).astype(np.float32) if prelu else None
        return Convolution(kernel.astype(np.float32), bias.astype(np.float32), slope)

    def _doubling(self, part: str) -> Convolution:
        nearest = f"{part}_nearest" in self._layers
        if nearest:
            self._step(f"{part}_nearest", "UpSampling2D")
        plain = self._convolution(part, "_conv", 3, prelu="_prelu")
        kernel, bias, slope = plain.kernel, plain.bias, np.tile(plain.slope, 4)  # type: ignore[arg-type]
        if nearest:
            kernel = np.concatenate([square for row in _halves(kernel, 0) for square in _halves(row, 1)], axis=-1)
            bias = np.tile(bias, 4)
        return Convolution(kernel, bias, slope)


def _side_by_side(picture: Convolution, detail: Convolution) -> Convolution:
    """One convolution to RGB and the further channels of each of the 4x4 pixels; ``detail`` has slopes by channel."""

    def joined(first: Weights, second: Weights) -> Weights:
        pixels = [part.reshape(*part.shape[:-1], SCALE**2, -1) for part in (first, second)]
        return np.concatenate(pixels, axis=-1).reshape(*first.shape[:-1], -1)

    slopes = (np.ones_like(picture.bias), np.tile(detail.slope, SCALE**2))  # type: ignore[arg-type]
    return Convolution(joined(picture.kernel, detail.kernel), joined(picture.bias, detail.bias), joined(*slopes))


def _halves(kernel: Weights, axis: int) -> tuple[Weights, Weights]:
    """What a kernel of three taps amounts to on two pixels a and b that are enlarged to a a b b.

    Centred on the second a it sees a a b, on the first b it sees a b b.
    """
    first, middle, last = np.split(kernel, 3, axis)
    return np.concatenate([first + middle, last], axis), np.concatenate([first, middle + last], axis)


def _inputs(node: Any) -> list[str]:
    """Names of the layers whose outputs a layer takes, in order, from Keras' description of the call."""
    if isinstance(node, dict):
        history = node.get("config", {}).get("keras_history") if "config" in node else None
        return [history[0]] if history else [name for value in node.values() for name in _inputs(value)]
    return [name for value in node for name in _inputs(value)] if isinstance(node, list) else []
