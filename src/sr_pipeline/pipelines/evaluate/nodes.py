"""Nodes that super-resolve the held-out photographs, match histograms, measure, and draw.

Pictures are handled one after the other (saved and loaded lazily), so memory does not grow with their number.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from sr_pipeline.imaging.decode import read_rgb
from sr_pipeline.imaging.histogram import match_to_input
from sr_pipeline.imaging.metrics import measure
from sr_pipeline.imaging.resample import crop_to_multiple, downsample, enlarge
from sr_pipeline.imaging.sheets import Panel, Row, comparison_sheet, low_resolution_panel
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.parameters import EvaluateParameters

log = logging.getLogger(__name__)

INTERPOLATIONS = ("nearest", "bicubic")
MATCHED = "_matched"
_METHOD_ORDER = ("nearest", "bicubic", "srresnet", "srresnet_matched", "srgan", "srgan_matched")
_TITLES = {"nearest": "nearest", "bicubic": "bicubic", "srresnet": "SRResNet", "srgan": "SRGAN"}

SavedPictures = dict[str, Callable[[], Image.Image]]
"""Pictures on disk by ``set/method/image``, each loaded when called."""


class HeldOut(NamedTuple):
    """A photograph to be measured on: its set, its name, and its file."""

    set: str
    name: str
    file: str

    def pair(self) -> tuple[RgbImage, RgbImage]:
        """The original, cut to a multiple of the scale, and its low-resolution input."""
        hr = crop_to_multiple(read_rgb(self.file), SCALE)
        return hr, downsample(hr, SCALE)


def super_resolve_held_out(images: pd.DataFrame, generators: dict[str, Any]) -> SavedPictures:
    """Each held-out photograph, reduced and enlarged again by each generator; computed when saved."""
    from sr_pipeline.networks.inference import super_resolve

    def task(photograph: HeldOut, generator: Any) -> Callable[[], Image.Image]:
        return lambda: Image.fromarray(super_resolve(generator, photograph.pair()[1]))

    return {
        f"{photograph.set}/{method}/{photograph.name}": task(photograph, generator)
        for photograph in held_out(images)
        for method, generator in generators.items()
    }


def match_histograms(images: pd.DataFrame, super_resolved: SavedPictures) -> SavedPictures:
    """Each super-resolved picture with the histogram of its low-resolution input; computed when saved."""

    def task(photograph: HeldOut, load: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
        return lambda: Image.fromarray(match_to_input(np.asarray(load()), photograph.pair()[1]))

    return {
        f"{photograph.set}/{method}{MATCHED}/{photograph.name}": task(photograph, load)
        for photograph in held_out(images)
        for method, load in _methods_of(photograph, super_resolved)
    }


def measure_methods(images: pd.DataFrame, super_resolved: SavedPictures, matched: SavedPictures) -> pd.DataFrame:
    """PSNR and SSIM of every method on every held-out photograph: set, image, method, one column a metric."""
    rows = []
    for photograph in held_out(images):
        hr, lr = photograph.pair()
        for method, image in _by_method(photograph, lr, super_resolved | matched):
            rows.append({"set": photograph.set, "image": photograph.name, "method": method} | measure(hr, image, SCALE))
    return pd.DataFrame(rows)


def average_metrics(per_image: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Means over the images: ``{set: {method: {metric: mean}}}``; the table goes to the log."""
    means = per_image.drop(columns="image").groupby(["set", "method"], sort=False).mean()
    for name, table in means.groupby(level="set", sort=False):
        count = per_image.loc[per_image["set"] == name, "image"].nunique()
        log.info("%s, mean of %d images:\n%s", name, count, table.droplevel("set").round(4).to_string())
    metrics: dict[str, dict[str, dict[str, float]]] = {}
    for row in means.reset_index().to_dict("records"):
        set_name, method = str(row.pop("set")), str(row.pop("method"))
        metrics.setdefault(set_name, {})[method] = {str(metric): float(value) for metric, value in row.items()}
    return metrics


def draw_comparison(
    images: pd.DataFrame,
    super_resolved: SavedPictures,
    matched: SavedPictures,
    per_image: pd.DataFrame,
    parameters: EvaluateParameters,
) -> Image.Image:
    """One row a photograph (the first six): whole, then a detail as LR, by every method, and as HR."""
    measured = {(row["set"], row["image"], row["method"]): row for row in per_image.to_dict("records")}
    rows = []
    for photograph in held_out(images)[:6]:
        hr, lr = photograph.pair()
        panels = [Panel("LR input", f"{lr.shape[1]}x{lr.shape[0]} pixels", low_resolution_panel(lr, SCALE))]
        for method, image in _by_method(photograph, lr, super_resolved | matched):
            if method == "nearest":  # looks like the LR input
                continue
            values = measured[photograph.set, photograph.name, method]
            panels.append(Panel(_title(method), f"{values['psnr_y']:.2f} dB, SSIM {values['ssim_y']:.3f}", image))
        panels.append(Panel("HR original", "PSNR and SSIM on Y", hr))
        rows.append(Row(photograph.name, hr, panels))
    return comparison_sheet(rows, parameters.detail_size)


def held_out(images: pd.DataFrame) -> list[HeldOut]:
    """The usable photographs of split ``val``, ordered by id."""
    chosen = images[(images["status"] == "ok") & (images["split"] == "val")].sort_values("id")
    stems = [Path(file).stem for file in chosen["file"]]
    photographs_of = Counter(stems)
    return [
        HeldOut("val", stem if photographs_of[stem] == 1 else f"{stem}_{image_id}", file)
        for stem, image_id, file in zip(stems, chosen["id"], chosen["file"], strict=True)
    ]


def _title(method: str) -> str:
    base = _TITLES[method.removesuffix(MATCHED)]
    return f"{base}, matched" if method.endswith(MATCHED) else base


def _methods_of(photograph: HeldOut, pictures: SavedPictures) -> Iterator[tuple[str, Callable[[], Image.Image]]]:
    """(method, load) of every saved picture of ``photograph``, in the order of the tables."""
    for method in _METHOD_ORDER:
        load = pictures.get(f"{photograph.set}/{method}/{photograph.name}")
        if load is not None:
            yield method, load


def _by_method(photograph: HeldOut, lr: RgbImage, pictures: SavedPictures) -> Iterator[tuple[str, RgbImage]]:
    """(method, pixels) of interpolations, then networks, in the order of the tables."""
    for method in INTERPOLATIONS:
        yield method, enlarge(lr, SCALE, method)
    for method, load in _methods_of(photograph, pictures):
        yield method, np.asarray(load())
