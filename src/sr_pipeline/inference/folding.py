"""A generator reduced to what inference computes: convolutions, slopes, and how they are put together.

Batch normalization goes into the convolution before it, and enlargement by nearest neighbours into the one after it;
the results stay the same but for rounding. NumPy only: the command line starts without TensorFlow.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, get_args

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.networks.parameters import SCALE, Output, Padding

Weights = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution, and the PReLU after it, if there is one.

    Attributes:
        kernel: (height, width, inputs, outputs).
        bias: (outputs,).
        slope: (outputs,), of negative values.
    """

    kernel: Weights
    bias: Weights
    slope: Weights | None = None


@dataclass(frozen=True, eq=False)
class FoldedGenerator:
    """The generator of Ledig et al. 2017, figure 4, for inference.

    Attributes:
        head: the first convolution.
        blocks: the two convolutions of each residual block.
        trunk: the convolution after them, whose output is added to that of ``head``.
        upsampling_blocks: none, or two convolutions to four times the channels, the pixels of 2x2 squares row by row.
            Kernels of 3x3 make the squares of the enlarged picture. Kernels of 2x2 make squares moved by one pixel up
            and left, one more in each direction: rows -1 and 0, 1 and 2, … of which the first and the last are beyond
            the picture.
        tail: the last convolution: to RGB; without upsampling blocks, to that of 4x4 squares of pixels, row by row.
            With a refinement, each pixel has more channels after RGB, and slopes: of RGB, they are 1.
        refinement: convolutions of all channels that ``tail`` gives the pixels of the enlarged picture. What the last
            one makes is added to RGB.
        padding: of all convolutions. That of a doubling by 2x2 pads by one; where it reflects, it repeats the edge
            pixel, as a reflected picture of twice the size does.
        output: what follows ``tail``.
    """

    head: Convolution
    blocks: tuple[tuple[Convolution, Convolution], ...]
    trunk: Convolution
    upsampling_blocks: tuple[Convolution, ...]
    tail: Convolution
    padding: Padding
    output: Output = "tanh"
    refinement: tuple[Convolution, ...] = ()

    @property
    def filters(self) -> int:
        """Channels of the hidden layers."""
        return int(self.trunk.bias.size)

    @property
    def features_reach(self) -> int:
        """How many pixels around a pixel the features there depend on: half the kernels of all layers up to them."""
        return 4 + 2 * len(self.blocks) + 1

    @property
    def enlarging_reach(self) -> int:
        """How many features around it the enlargement of one depends on, rounded up.

        1 + 1/2 + 4/4 with upsampling blocks, else 1 and a quarter for each layer of the refinement.
        """
        return 3 if self.upsampling_blocks else 1 + -(-len(self.refinement) // SCALE)

    @property
    def reach(self) -> int:
        """How many pixels around a pixel its enlargement depends on."""
        return self.features_reach + self.enlarging_reach

    @property
    def features_macs(self) -> int:
        """Multiplications for the features of one pixel."""
        layers = (self.head, *(layer for block in self.blocks for layer in block), self.trunk)
        return sum(layer.kernel.size for layer in layers)

    @property
    def enlarging_macs(self) -> int:
        """Multiplications for the enlargement of the features of one pixel."""
        if not self.upsampling_blocks:
            return self.tail.kernel.size + SCALE**2 * sum(layer.kernel.size for layer in self.refinement)
        first, second = self.upsampling_blocks
        return first.kernel.size + 4 * second.kernel.size + SCALE**2 * self.tail.kernel.size

    @property
    def macs(self) -> int:
        """Multiplications for one pixel of the input."""
        return self.features_macs + self.enlarging_macs

    @property
    def upsampling(self) -> str:
        """``nearest``, ``subpixel`` or ``direct``."""
        if not self.upsampling_blocks:
            return "direct"
        return "nearest" if self.upsampling_blocks[0].kernel.shape[0] == 2 else "subpixel"

    @property
    def packed_tail(self) -> Convolution:
        """``tail`` after upsampling blocks, for squares of 2x2 output pixels, row by row, with stride 2.

        A quarter more multiplications, but processors compute 16 channels together: see ``PackedConv2D``.
        """
        positions = [(i, j) for i in (0, 1) for j in (0, 1)]
        kernels = [np.pad(self.tail.kernel, ((i, 1 - i), (j, 1 - j), (0, 0), (0, 0))) for i, j in positions]
        return Convolution(np.concatenate(kernels, axis=-1), np.tile(self.tail.bias, 4))

    def save(self, path: Path, dtype: str = "float16") -> str:
        """Write an .npz file with weights of ``dtype``; equal generators give equal bytes.

        Returns:
            The file's SHA-256, for who loads it to check.
        """
        arrays = {"padding": np.array(self.padding), "output": np.array(self.output)}
        for name, layer in self._layers():
            stored = {"kernel": layer.kernel, "bias": layer.bias, "slope": layer.slope}
            arrays |= {f"{name}.{key}": value.astype(dtype) for key, value in stored.items() if value is not None}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        path.write_bytes(buffer.getvalue())
        return hashlib.sha256(buffer.getvalue()).hexdigest()

    def _layers(self) -> Iterator[tuple[str, Convolution]]:
        yield "head", self.head
        for number, pair in enumerate(self.blocks, 1):
            yield from ((f"block{number}.{index}", layer) for index, layer in enumerate(pair, 1))
        yield "trunk", self.trunk
        yield from ((f"double{index}", layer) for index, layer in enumerate(self.upsampling_blocks, 1))
        yield "tail", self.tail
        yield from ((f"refinement{index}", layer) for index, layer in enumerate(self.refinement, 1))


def rounded_to_bfloat16(generator: FoldedGenerator) -> FoldedGenerator:
    """``generator`` with kernels rounded by ``rounded_kernel``, but for those that engines keep in float32.

    These are the first one and, without upsampling blocks, all after the trunk.
    """

    def rounded(layer: Convolution) -> Convolution:
        return replace(layer, kernel=rounded_kernel(layer.kernel))

    return replace(
        generator,
        blocks=tuple((rounded(first), rounded(second)) for first, second in generator.blocks),
        trunk=rounded(generator.trunk),
        upsampling_blocks=tuple(rounded(layer) for layer in generator.upsampling_blocks),
        tail=rounded(generator.tail) if generator.upsampling_blocks else generator.tail,
    )


def rounded_kernel(kernel: Weights) -> Weights:
    """``kernel`` in values of bfloat16; what one loses goes to the next, so that areas of one colour keep it."""
    values = np.empty_like(kernel)
    lost = np.zeros(kernel.shape[2:], np.float32)
    for tap in np.ndindex(kernel.shape[:2]):
        values[tap] = to_bfloat16(kernel[tap] + lost)
        lost += kernel[tap] - values[tap]
    return values


def to_bfloat16(values: Weights) -> Weights:
    """The nearest values of bfloat16, whose lower 16 bits in float32 are 0; the even one of two that are as near."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def load_folded(file: Path | BinaryIO) -> FoldedGenerator:
    """Load what ``FoldedGenerator.save`` wrote, in float32; nothing in it is executed.

    Raises:
        UserError: if it is something else.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        padding, output = (str(arrays.pop(name)) for name in ("padding", "output"))
        layers: dict[str, dict[str, Weights]] = {}
        for name, array in arrays.items():
            layer, _, part = name.rpartition(".")
            layers.setdefault(layer, {})[part] = array.astype(np.float32)
        convolutions = {name: Convolution(**parts) for name, parts in layers.items()}
        blocks, refinement = (sum(name.startswith(part) for name in convolutions) for part in ("block", "refinement"))
        for value, known in ((padding, Padding), (output, Output)):
            if value not in get_args(known):
                raise KeyError(value)
        return FoldedGenerator(
            convolutions["head"],
            tuple((convolutions[f"block{n}.1"], convolutions[f"block{n}.2"]) for n in range(1, blocks // 2 + 1)),
            convolutions["trunk"],
            tuple(convolutions[name] for name in ("double1", "double2") if "double1" in convolutions),
            convolutions["tail"],
            padding,  # type: ignore[arg-type]
            output,  # type: ignore[arg-type]
            tuple(convolutions[f"refinement{n}"] for n in range(1, refinement + 1)),
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(f"{file} is no file of a folded generator ({error}); save one anew") from error


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
        raise UserError(f"this model is no generator of this software ({reason}); name one that it trained") from error
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
        raise UserError(f"{path} is no Keras model ({reason}); train again, or name another file") from error
    return _fold(str(path), config, weights)


def _fold(source: str, config: dict[str, Any], weights: dict[str, list[Weights]]) -> FoldedGenerator:
    try:
        return _Walk(config["layers"], weights).generator()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{source} is no generator of this software ({error}); name one that it trained") from error


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
