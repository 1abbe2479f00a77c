"""A folded generator as ONNX: for programs that know neither Keras nor this one, and for the engines that read it."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.inference.folded_generator import Convolution, FoldedGenerator
from sr_pipeline.networks.parameters import SCALE

try:
    import onnx
    from onnx import helper, numpy_helper
except ImportError as error:
    raise UserError(f"ONNX needs more packages ({error}); install them with pip install sr-pipeline") from error

_OPSET, _IR_VERSION = 19, 9  # of 2023: no later operator is needed, and older runtimes read it


def export_onnx(generator: FoldedGenerator, path: Path) -> None:
    """Write a model from ``lr`` (n, h, w, 3) in [0, 1] to ``sr`` (n, 4h, 4w, 3) in [-1, 1], for h and w from 5."""
    onnx.save(onnx_model(generator, "lr", "sr"), path)


def onnx_model(generator: FoldedGenerator, source: str, target: str) -> onnx.ModelProto:
    """The part of the network from ``source`` to ``target``: "lr", "head" (the first convolution), "features", "sr"."""
    shapes: dict[str, tuple[str | int, ...]] = {
        "lr": ("n", "h", "w", 3),
        "head": ("n", generator.filters, "h", "w"),
        "features": ("n", generator.filters, "h", "w"),
        "sr": ("n", "4h", "4w", 3),
    }
    inputs, outputs = (
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shapes[name])] for name in (source, target)
    )
    nodes = _Nodes(generator.padding == "reflect")
    steps = {"head": nodes.add_head, "features": nodes.add_trunk, "sr": nodes.add_enlarging}
    names = list(shapes)
    x = source
    for name in names[names.index(source) + 1 : names.index(target) + 1]:
        x = steps[name](generator, x)
    nodes.add("Identity", x, output=target)
    graph = helper.make_graph(nodes.nodes, "generator", inputs, outputs, nodes.weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model


class _Nodes:
    """The operators of a graph as they come, and their weights; within it, pictures are (n, channels, h, w)."""

    def __init__(self, reflect: bool) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._reflect = reflect

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add an operator and give the name of its output."""
        output = output or f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def add_head(self, generator: FoldedGenerator, lr: str) -> str:
        return self._convolve(self.add("Transpose", lr, perm=[0, 3, 1, 2]), generator.head, 4)

    def add_trunk(self, generator: FoldedGenerator, head: str) -> str:
        x = head
        for first, second in generator.blocks:
            x = self.add("Add", self._convolve(self._convolve(x, first, 1), second, 1), x)
        return self.add("Add", self._convolve(x, generator.trunk, 1), head)

    def add_enlarging(self, generator: FoldedGenerator, x: str) -> str:
        moved = generator.upsampling == "nearest"
        for layer in generator.upsampling_blocks:
            x = self._convolve(x, layer, 1, mode="edge" if moved else "reflect")
            x = self.add("DepthToSpace", x, blocksize=2)
            if moved:
                x = self.add("Slice", x, *(self._weight(np.array(values)) for values in ([1, 1], [-1, -1], [2, 3])))
        if generator.upsampling_blocks:
            x = self.add("DepthToSpace", self._convolve(x, generator.packed_tail, 4, stride=2), blocksize=2)
        else:
            x = self._refine(generator, self.add("DepthToSpace", self._convolve(x, generator.tail, 1), blocksize=SCALE))
        x = self.add("Tanh", x) if generator.output == "tanh" else self._clip(x)
        return self.add("Transpose", x, perm=[0, 2, 3, 1])

    def _clip(self, x: str) -> str:
        """Values of a linear output that lie beyond black and white, as strong edges have, become these."""
        return self.add("Clip", x, *(self._weight(np.array(end, np.float32)) for end in (-1, 1)))

    def _refine(self, generator: FoldedGenerator, pixels: str) -> str:
        if not generator.refinement:
            return pixels
        x = pixels
        for layer in generator.refinement:
            x = self._convolve(x, layer, 1)
        rgb = self.add("Slice", pixels, *(self._weight(np.array([value])) for value in (0, 3, 1)))
        return self.add("Add", rgb, x)

    def _convolve(self, x: str, layer: Convolution, margin: int, *, stride: int = 1, mode: str = "reflect") -> str:
        if self._reflect:
            x = self.add("Pad", x, self._weight(np.array([0, 0, margin, margin] * 2)), mode=mode)
        kernel, bias = self._weight(layer.kernel.transpose(3, 2, 0, 1)), self._weight(layer.bias)
        x = self.add("Conv", x, kernel, bias, strides=[stride] * 2, pads=[0 if self._reflect else margin] * 4)
        return x if layer.slope is None else self.add("PRelu", x, self._weight(layer.slope[:, None, None]))

    def _weight(self, values: NDArray) -> str:
        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name
