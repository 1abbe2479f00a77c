"""Pictures to look at: grids of crops, and methods side by side with a zoomed detail."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr_pipeline.imaging.metrics import luma
from sr_pipeline.imaging.resample import enlarge
from sr_pipeline.imaging.types import RgbImage


@dataclass(frozen=True)
class Panel:
    """One picture of a row: its title, an optional second line, and the pixels."""

    title: str
    caption: str
    image: RgbImage


@dataclass(frozen=True)
class Row:
    """One photograph by all methods; ``image`` of every panel has the size of ``whole``."""

    name: str
    whole: RgbImage
    panels: list[Panel]


def crop_grid(columns: dict[str, list[RgbImage]]) -> Image.Image:
    """A titled column of equally large crops for each entry."""
    from matplotlib.figure import Figure

    rows = len(next(iter(columns.values())))
    figure = Figure(figsize=(2 * len(columns), 2 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for column, (title, images) in enumerate(columns.items()):
        axes[0, column].set_title(title)
        for row, image in enumerate(images):
            _show(axes[row, column], image)
    return _render(figure)


def comparison_sheet(rows: list[Row], detail_size: int) -> Image.Image:
    """The whole photograph with its busiest detail marked, then that detail by every method."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    columns = 1 + len(rows[0].panels)
    figure = Figure(figsize=(2.5 * columns, 3.1 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, width_ratios=[1.5] + [1] * (columns - 1))
    for line, row in zip(axes, rows, strict=True):
        top, left = busiest_detail(row.whole, detail_size)
        _show(line[0], row.whole)
        line[0].set_title(row.name, fontsize=11)
        line[0].add_patch(
            Rectangle((left - 0.5, top - 0.5), detail_size, detail_size, fill=False, edgecolor="red", linewidth=1.5)
        )
        for axis, panel in zip(line[1:], row.panels, strict=True):
            _show(axis, panel.image[top : top + detail_size, left : left + detail_size])
            axis.set_title(panel.title, fontsize=11)
            axis.set_xlabel(panel.caption, fontsize=9)
    return _render(figure)


def busiest_detail(image: RgbImage, size: int) -> tuple[int, int]:
    """Corner (top, left) of the window of ``size`` pixels with the steepest luma on average.

    Windows lie on a grid of ``size`` / 4 pixels.
    """
    steepness = np.hypot(*np.gradient(luma(image)))
    step = max(size // 4, 1)
    corners = [
        (top, left)
        for top in range(0, max(image.shape[0] - size, 0) + 1, step)
        for left in range(0, max(image.shape[1] - size, 0) + 1, step)
    ]
    return max(corners, key=lambda corner: _mean(steepness, corner, size))


def low_resolution_panel(lr: RgbImage, scale: int) -> RgbImage:
    """The low-resolution input at the size of the others, its pixels as squares."""
    return enlarge(lr, scale, "nearest")


def _mean(values: NDArray[np.float64], corner: tuple[int, int], size: int) -> float:
    top, left = corner
    return float(values[top : top + size, left : left + size].mean())


def _show(axis: "object", image: RgbImage) -> None:
    axis.imshow(image, interpolation="nearest")  # type: ignore[attr-defined]
    axis.set_xticks([])  # type: ignore[attr-defined]
    axis.set_yticks([])  # type: ignore[attr-defined]


def _render(figure: "object") -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
