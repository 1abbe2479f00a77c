"""Pictures to look at: grids of crops, and methods side by side with a zoomed detail."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sr_pipeline.imaging.metrics import luma
from sr_pipeline.imaging.resample import enlarge
from sr_pipeline.imaging.types import RgbImage

_STRUCTURE = 15  # pixels over which the local mean of luma is taken


@dataclass(frozen=True)
class Panel:
    """One picture of a row: its title, an optional second line, and the pixels."""

    title: str
    caption: str
    image: RgbImage


@dataclass(frozen=True)
class Row:
    """One photograph, enlarged by every method; the ``image`` of every panel has the size of ``whole``.

    Attributes:
        name: of the photograph.
        whole: the original.
        panels: the pictures to show, one per method.
        detail: corner (top, left) of the part that is shown magnified.
    """

    name: str
    whole: RgbImage
    panels: list[Panel]
    detail: tuple[int, int]


def crop_grid(columns: dict[str, list[RgbImage]], zoom: int = 2) -> Image.Image:
    """A titled column of crops for each entry, all of the same size, with every pixel ``zoom`` pixels wide."""
    margin, text = 4, 24
    height, width = (zoom * edge for edge in next(iter(columns.values()))[0].shape[:2])
    rows = max(len(images) for images in columns.values())
    size = (len(columns) * (width + margin) + margin, text + rows * (height + margin))
    grid = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(grid), ImageFont.load_default(16)
    for column, (title, images) in enumerate(columns.items()):
        left = margin + column * (width + margin)
        draw.text((left + width // 2, text // 2), title, "black", font, anchor="mm")
        for row, image in enumerate(images):
            grid.paste(Image.fromarray(enlarge(image, zoom, "nearest")), (left, text + row * (height + margin)))
    return grid


def comparison_sheet(rows: list[Row], detail_size: int) -> Image.Image:
    """The whole photograph with a detail of ``detail_size`` pixels marked, then that detail by every method."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    columns = 1 + len(rows[0].panels)
    figure = Figure(figsize=(2.5 * columns, 3.1 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, width_ratios=[1.5] + [1] * (columns - 1))
    for line, row in zip(axes, rows, strict=True):
        top, left = row.detail
        _show(line[0], row.whole)
        line[0].set_title(row.name, fontsize=11)
        line[0].add_patch(
            Rectangle((left - 0.5, top - 0.5), detail_size, detail_size, fill=False, edgecolor="red", linewidth=1.5)
        )
        for axis, panel in zip(line[1:], row.panels, strict=True):
            _show(axis, panel.image[top : top + detail_size, left : left + detail_size])
            axis.set_title(panel.title, fontsize=11)
            axis.set_xlabel(panel.caption, fontsize=9)
    return render(figure)


def most_different_crop(images: list[RgbImage], size: int) -> tuple[int, int]:
    """Corner (top, left) of the window of ``size`` pixels in which the structures of pictures of one scene differ most.

    Structure is luma minus its local mean, so a colour cast on a plain wall does not count. Windows are placed on a
    grid of ``size`` / 4 pixels.
    """
    from scipy.ndimage import uniform_filter

    luminances = [luma(image) for image in images]
    deviation = np.std([y - uniform_filter(y, _STRUCTURE) for y in luminances], axis=0)
    step = max(size // 4, 1)
    corners = [
        (top, left)
        for top in range(0, max(deviation.shape[0] - size, 0) + 1, step)
        for left in range(0, max(deviation.shape[1] - size, 0) + 1, step)
    ]
    return max(corners, key=lambda corner: _mean(deviation, corner, size))


def error_sheet(rows: list[Row], brightest: float = 40.0) -> Image.Image:
    """How far each panel's luma is from the original's: black is equal, bright ``brightest`` grey levels or more."""
    from matplotlib.figure import Figure

    columns = len(rows[0].panels)
    figure = Figure(figsize=(2.6 * columns + 0.6, 2.4 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, row in zip(axes, rows, strict=True):
        original = luma(row.whole)
        line[0].set_ylabel(row.name, fontsize=9)
        for axis, panel in zip(line, row.panels, strict=True):
            drawn = axis.imshow(np.abs(luma(panel.image) - original), cmap="magma", vmin=0, vmax=brightest)
            _hide_ticks(axis)
            axis.set_title(panel.title, fontsize=11)
            axis.set_xlabel(panel.caption, fontsize=9)
    figure.colorbar(drawn, ax=axes, label="|error of Y|, gray levels", shrink=0.6, extend="max")
    return render(figure)


def evenly_spaced(length: int, count: int) -> list[int]:
    """``count`` numbers below ``length``, evenly spaced, so that crops of many images are among them.

    >>> evenly_spaced(10, 4)
    [0, 2, 5, 7]
    """
    count = min(count, length)
    return [i * length // count for i in range(count)]


def low_resolution_panel(lr: RgbImage, scale: int) -> RgbImage:
    """The low-resolution input at the size of the other panels, each pixel a square."""
    return enlarge(lr, scale, "nearest")


def _mean(values: NDArray[np.float64], corner: tuple[int, int], size: int) -> float:
    top, left = corner
    return float(values[top : top + size, left : left + size].mean())


def _show(axis: "object", image: RgbImage) -> None:
    axis.imshow(image, interpolation="nearest")  # type: ignore[attr-defined]
    _hide_ticks(axis)


def _hide_ticks(axis: "object") -> None:
    axis.set_xticks([])  # type: ignore[attr-defined]
    axis.set_yticks([])  # type: ignore[attr-defined]


def render(figure: "object") -> Image.Image:
    """A matplotlib figure as an RGB picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
