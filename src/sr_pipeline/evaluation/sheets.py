"""Pictures of an evaluation: methods side by side, their errors, and charts of what was measured."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from sr_pipeline.evaluation.methods import COLOURS, ORDER, TITLES
from sr_pipeline.evaluation.metrics import LPIPS, METRICS, VGG_DISTANCE
from sr_pipeline.evaluation.pictures import Picture
from sr_pipeline.imaging.sheets import (
    Panel,
    Row,
    comparison_sheet,
    error_sheet,
    evenly_spaced,
    low_resolution_panel,
    most_different_crop,
    render,
)
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.networks.parameters import SCALE

_EXTREMES = 3  # best and worst cases
_BARS = 40  # pictures of a bar chart


@dataclass(frozen=True)
class Shown:
    """A picture enlarged by every method.

    Attributes:
        picture: which.
        hr: the original, (h, w, 3) uint8.
        lr: the low-resolution input.
        images: results by method, in the order of the tables.
        measured: metrics by method.
    """

    picture: Picture
    hr: RgbImage
    lr: RgbImage
    images: dict[str, RgbImage]
    measured: dict[str, dict[str, float]]

    def detail(self, size: int) -> tuple[int, int]:
        """Corner of the window in which the methods differ most."""
        return most_different_crop([image for method, image in self.images.items() if method != "nearest"], size)

    def caption(self, method: str) -> str:
        """The two or three figures that readers look for."""
        values = self.measured[method]
        formats = {"psnr_y": "{:.2f} dB", "ssim_y": "SSIM {:.3f}", LPIPS: "LPIPS {:.3f}"}
        return ", ".join(text.format(values[name]) for name, text in formats.items() if name in values)


Load = Callable[[Picture], Shown]


def draw_sheets(
    pictures: list[Picture], per_image: pd.DataFrame, load: Load, *, shown: int, detail_size: int
) -> dict[str, Image.Image]:
    """All pictures of one set, by name.

    Args:
        pictures: of the set.
        per_image: what was measured on them.
        load: gets a picture enlarged by every method; a few are in memory at once.
        shown: pictures on the sheets.
        detail_size: edge in pixels of the details.

    Returns:
        ``comparison``, ``errors``, ``gains``, ``best_and_worst`` and, where a perceptual distance was measured,
        ``distortion_perception``. Without a network there are no gains and no best and worst cases.
    """
    chosen = [load(pictures[i]) for i in evenly_spaced(len(pictures), shown)]
    sheets = {
        "comparison": comparison_sheet([_details(one, detail_size) for one in chosen], detail_size),
        "errors": error_sheet([_errors(one) for one in chosen]),
    }
    gains = gains_over_bicubic(per_image)
    if not gains.empty:
        sheets["gains"] = _draw_gains(gains)
        extremes = best_and_worst(gains)
        by_name = {picture.image: picture for picture in pictures}
        rows = [_details(load(by_name[name]), detail_size, f"{word}: ") for word, name in extremes]
        sheets["best_and_worst"] = comparison_sheet(rows, detail_size)
    perceptual = next((name for name in (LPIPS, VGG_DISTANCE) if name in per_image.columns), None)
    if perceptual and "psnr_y" in per_image.columns:
        sheets["distortion_perception"] = _draw_plane(per_image, perceptual)
    return sheets


def gains_over_bicubic(per_image: pd.DataFrame) -> pd.DataFrame:
    """By how much each network is better than bicubic: one row per picture, one column per network, sorted by the last.

    In LPIPS if it was measured, else in PSNR-Y; ``attrs["metric"]`` says which. Empty without either or without a
    network.
    """
    metric = next((name for name in (LPIPS, "psnr_y") if name in per_image.columns), None)
    networks = [name for name in ("srresnet", "srgan") if name in set(per_image["method"])]
    if metric is None or not networks:
        return pd.DataFrame()
    table = per_image.pivot_table(index="image", columns="method", values=metric, sort=False)
    sign = 1 if METRICS[metric].higher_is_better else -1
    gains = sign * table[networks].sub(table["bicubic"], axis=0)
    finite = gains.loc[np.isfinite(gains.to_numpy()).all(axis=1)]
    gains = finite.sort_values(by=networks[-1], ascending=False)
    gains.attrs["metric"] = metric
    return gains


def best_and_worst(gains: pd.DataFrame) -> list[tuple[str, str]]:
    """("best" or "worst", name) of the pictures with the largest and the smallest gains."""
    count = min(_EXTREMES, len(gains) // 2)
    if not count:
        return [("best", name) for name in gains.index]
    names = list(gains.index)
    return [("best", name) for name in names[:count]] + [("worst", name) for name in names[-count:]]


def _details(shown: Shown, size: int, prefix: str = "") -> Row:
    height, width = shown.lr.shape[:2]
    panels = [Panel("LR input", f"{width}x{height} pixels", low_resolution_panel(shown.lr, SCALE))]
    for method, image in shown.images.items():
        if method != "nearest":  # looks like the LR input
            panels.append(Panel(TITLES[method], shown.caption(method), image))
    panels.append(Panel("HR original", "", shown.hr))
    return Row(prefix + shown.picture.image, shown.hr, panels, shown.detail(size))


def _errors(shown: Shown) -> Row:
    panels = [
        Panel(
            TITLES[method],
            f"{shown.measured[method]['psnr_y']:.2f} dB" if "psnr_y" in shown.measured[method] else "",
            image,
        )
        for method, image in shown.images.items()
        if method != "nearest"
    ]
    return Row(shown.picture.image, shown.hr, panels, (0, 0))


def _draw_gains(gains: pd.DataFrame) -> Image.Image:
    from matplotlib.figure import Figure

    half = _BARS // 2
    table = gains if len(gains) <= _BARS else pd.concat([gains.iloc[:half], gains.iloc[-half:]])
    figure = Figure(figsize=(max(6.0, 1.5 + 0.32 * len(table)), 4.5), layout="constrained")
    axis = figure.subplots()
    positions, width = np.arange(len(table)), 0.8 / len(table.columns)
    for number, method in enumerate(table.columns):
        axis.bar(positions + number * width, table[method], width, color=COLOURS[method], label=TITLES[method])
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xticks(positions + 0.4 - width / 2, table.index, rotation=60, ha="right", fontsize=8)
    axis.set_ylabel(f"better than bicubic by, {METRICS[gains.attrs['metric']].title}")
    if len(table) < len(gains):
        axis.set_title(f"the {half} best and the {half} worst of {len(gains)} pictures", fontsize=10)
    axis.legend()
    return render(figure)


def _draw_plane(per_image: pd.DataFrame, perceptual: str) -> Image.Image:
    """The plane of Blau & Michaeli 2018, figure 2: down is natural, right is near the original."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5.2), layout="constrained")
    axis = figure.subplots()
    for method in _present(per_image["method"]):
        rows = per_image[per_image["method"] == method]
        colour: dict[str, Any] = {"color": COLOURS[method]}
        axis.scatter(rows["psnr_y"], rows[perceptual], s=12, alpha=0.35, linewidths=0, **colour)
        axis.scatter(
            rows["psnr_y"].mean(),
            rows[perceptual].mean(),
            s=110,
            edgecolors="black",
            zorder=3,
            label=TITLES[method],
            **colour,
        )
    axis.set_xlabel(f"{METRICS['psnr_y'].title}: less distortion →")
    axis.set_ylabel(f"← more natural: {METRICS[perceptual].title}")
    axis.set_title("small: pictures; large: means", fontsize=10)
    axis.legend(fontsize=9)
    axis.grid(alpha=0.3)
    return render(figure)


def _present(methods: Iterable[str]) -> list[str]:
    found = set(methods)
    return [method for method in ORDER if method in found]
