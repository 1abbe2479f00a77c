"""A folded generator: convolutions, slopes, and how they are put together, in NumPy arrays and in a file."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, get_args

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
        output: what follows ``tail``; engines clip what is linear to [-1, 1].
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
            The file's SHA-256, to be checked when it is loaded.
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
        raise UserError(f"{file} is not a file of a folded generator ({error}); save it again") from error


def rounded_to_bfloat16(generator: FoldedGenerator) -> FoldedGenerator:
    """``generator`` with kernels rounded by ``rounded_kernel``, except those that engines keep in float32.

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
