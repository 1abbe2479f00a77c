"""Nodes that super-resolve the held-out photographs and benchmarks, match histograms, measure, draw and report.

Pictures are handled one after the other (saved and loaded lazily), so memory does not grow with their number.
"""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.describe import describe_intervals, describe_model, describe_protocol
from sr_pipeline.evaluation.matching import match
from sr_pipeline.evaluation.measuring import build_protocol, measure_pictures
from sr_pipeline.evaluation.methods import DIFFERENCES, INTERPOLATIONS, MATCHED, NETWORKS
from sr_pipeline.evaluation.metrics import Networks
from sr_pipeline.evaluation.parameters import EvaluateParameters
from sr_pipeline.evaluation.pictures import Picture, describe_sets, list_pictures, pictures_of
from sr_pipeline.evaluation.report import render_report
from sr_pipeline.evaluation.sheets import Shown, draw_sheets
from sr_pipeline.evaluation.statistics import summarize
from sr_pipeline.imaging.resample import enlarge
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.inference.engines import choose_engine
from sr_pipeline.inference.folding import fold
from sr_pipeline.inference.upscaler import Upscaler, smallest_tile
from sr_pipeline.networks.parameters import SCALE, LpipsParameters, PerceptualParameters
from sr_pipeline.processor import processor_kind

log = logging.getLogger(__name__)

SavedPictures = dict[str, Callable[[], Image.Image]]
"""Pictures on disk by ``set/method/image``, each loaded when called."""


def list_measured_pictures(images: pd.DataFrame, parameters: EvaluateParameters, seed: int) -> pd.DataFrame:
    """The held-out photographs and the pictures of the benchmarks, and what is wrong with those left out."""
    return list_pictures(images, parameters, seed)


def choose_generators(
    generators: dict[str, Any], mlflow_run: dict[str, Any], parameters: EvaluateParameters
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The generators to measure, by method, and what is known of them.

    Those of the present training; or the one that ``evaluate.model`` names, as ``srgan``.
    """
    if parameters.model is None:
        chosen = {method: generators[method] for method in NETWORKS if method in generators}
        return chosen, describe_model("present training", chosen, mlflow_run)
    from sr_pipeline.tracking.registry import load_registered_generator, registered_model_facts

    if parameters.model.startswith("models:/"):
        chosen = {"srgan": load_registered_generator(parameters.model)}
        return chosen, describe_model(parameters.model, chosen, registered_model_facts(parameters.model))
    from sr_pipeline.datasets.keras_generators import load_keras_model

    chosen = {"srgan": load_keras_model(parameters.model)}
    return chosen, describe_model(parameters.model, chosen, {})


def super_resolve_pictures(
    listed: pd.DataFrame, generators: dict[str, Any], parameters: EvaluateParameters
) -> SavedPictures:
    """Each picture, reduced and enlarged again by each generator, as users enlarge theirs; computed when saved.

    Raises:
        UserError: if a generator is none of this software, ``evaluate.tile`` is too small for it, or
            ``evaluate.engine`` is not available.
    """

    def task(picture: Picture, upscaler: Upscaler) -> Callable[[], Image.Image]:
        def super_resolve() -> Image.Image:
            from sr_pipeline.networks.full_float32 import full_float32

            with full_float32:
                return Image.fromarray(upscaler(picture.low_resolution()))

        return super_resolve

    upscalers = {method: _upscaler(generator, parameters) for method, generator in generators.items()}
    return {
        f"{picture.set}/{method}/{picture.image}": task(picture, upscaler)
        for picture in pictures_of(listed)
        for method, upscaler in upscalers.items()
    }


def match_histograms(
    listed: pd.DataFrame, super_resolved: SavedPictures, parameters: EvaluateParameters
) -> SavedPictures:
    """Each super-resolved picture with the histogram of its low-resolution input; computed when saved."""

    def task(picture: Picture, load: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
        return lambda: Image.fromarray(match(np.asarray(load()), picture.low_resolution(), parameters.matching))

    return {
        f"{picture.set}/{method}{MATCHED}/{picture.image}": task(picture, load)
        for picture in pictures_of(listed)
        for method, load in _saved_methods(picture, super_resolved)
    }


def measure_methods(
    listed: pd.DataFrame,
    super_resolved: SavedPictures,
    matched: SavedPictures,
    parameters: EvaluateParameters,
    lpips: LpipsParameters,
    perceptual: PerceptualParameters,
) -> pd.DataFrame:
    """Every metric of every method on every picture: set, image, method, one column a metric."""
    saved = super_resolved | matched

    def methods(picture: Picture, lr: RgbImage) -> Iterator[tuple[str, RgbImage]]:
        return _by_method(picture, lr, saved)

    protocol = build_protocol(parameters, Networks(lpips, perceptual))
    return measure_pictures(pictures_of(listed), methods, protocol, parameters.workers)


def average_metrics(per_image: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Means over the images: ``{set: {method: {metric: mean}}}``; the table goes to the log, with numbers of images.

    What was measured on no image is left out.
    """
    by_method = per_image.drop(columns="image").groupby(["set", "method"], sort=False)
    means, counts = by_method.mean(), by_method.count()
    for name, table in means.groupby(level="set", sort=False):
        count = per_image.loc[per_image["set"] == name, "image"].nunique()
        fewer = counts.loc[[name]].min()
        exceptions = "".join(f", {metric} of {n}" for metric, n in fewer.items() if n < count)
        shown = table.droplevel("set").round(4).to_string()
        log.info("%s, mean of %d images%s:\n%s", name, count, exceptions, shown)
    metrics: dict[str, dict[str, dict[str, float]]] = {}
    for row in means.reset_index().to_dict("records"):
        set_name, method = str(row.pop("set")), str(row.pop("method"))
        finite = {str(metric): float(value) for metric, value in row.items() if np.isfinite(value)}
        metrics.setdefault(set_name, {})[method] = finite
    return metrics


def summarize_metrics(per_image: pd.DataFrame, parameters: EvaluateParameters) -> dict[str, Any]:
    """Means and paired differences between methods, with confidence intervals, by set."""
    return summarize(per_image, DIFFERENCES, parameters.confidence)


def describe_evaluation(
    listed: pd.DataFrame,
    model: dict[str, Any],
    parameters: EvaluateParameters,
    lpips: LpipsParameters | None = None,
    perceptual: PerceptualParameters | None = None,
) -> dict[str, Any]:
    """What the figures depend on: the model, the protocol, the pictures, the kind of processor.

    Networks are the packaged ones if nothing else is said.
    """
    networks = Networks(lpips or LpipsParameters(), perceptual or PerceptualParameters())
    return {
        "model": model,
        "protocol": describe_protocol(parameters, networks),
        "intervals": describe_intervals(parameters),
        "sets": describe_sets(listed),
        "processor": processor_kind(),
    }


def draw_pictures(
    listed: pd.DataFrame,
    super_resolved: SavedPictures,
    matched: SavedPictures,
    per_image: pd.DataFrame,
    parameters: EvaluateParameters,
) -> SavedPictures:
    """The sheets of every set, by ``set/name``."""
    load = _loader(super_resolved | matched, per_image)
    sheets: SavedPictures = {}
    for name, pictures in _by_set(listed):
        rows = per_image[per_image["set"] == name]
        drawn = draw_sheets(pictures, rows, load, shown=parameters.shown, detail_size=parameters.detail_size)
        sheets |= {f"{name}/{sheet}": partial(_itself, picture) for sheet, picture in drawn.items()}
    return sheets


def write_report(
    listed: pd.DataFrame,
    super_resolved: SavedPictures,
    matched: SavedPictures,
    per_image: pd.DataFrame,
    statistics: dict[str, Any],
    evaluation: dict[str, Any],
    sheets: SavedPictures,
) -> str:
    """One HTML page that needs nothing else: tables, pictures with a slider, protocol."""
    load = _loader(super_resolved | matched, per_image)
    pictures = {name: [partial(load, picture) for picture in members] for name, members in _by_set(listed)}
    return render_report(pictures, sheets, statistics, evaluation)


def _upscaler(generator: Any, parameters: EvaluateParameters) -> Upscaler:
    folded = fold(generator)
    smallest = smallest_tile(folded)
    if parameters.tile < smallest:
        raise UserError(
            f"evaluate.tile={parameters.tile} is too small for a generator that sees {folded.reach} pixels around "
            f"each: set it to at least {smallest}"
        )
    return Upscaler(choose_engine(folded, parameters.engine), parameters.tile)


def _itself(picture: Image.Image) -> Image.Image:
    return picture


def _by_set(listed: pd.DataFrame) -> Iterator[tuple[str, list[Picture]]]:
    pictures = pictures_of(listed)
    for name in dict.fromkeys(picture.set for picture in pictures):
        yield name, [picture for picture in pictures if picture.set == name]


def _loader(saved: SavedPictures, per_image: pd.DataFrame) -> Callable[[Picture], Shown]:
    measured: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in per_image.to_dict("records"):
        key = str(row.pop("set")), str(row.pop("image"))
        method = str(row.pop("method"))
        measured.setdefault(key, {})[method] = {str(name): float(value) for name, value in row.items()}

    def load(picture: Picture) -> Shown:
        original = picture.original()
        images = dict(_by_method(picture, original.lr, saved))
        return Shown(picture, original.hr, original.lr, images, measured[picture.set, picture.image])

    return load


def _saved_methods(picture: Picture, saved: SavedPictures) -> Iterator[tuple[str, Callable[[], Image.Image]]]:
    """(method, load) of every saved version of ``picture``, in the order of the tables."""
    for network in NETWORKS:
        for method in (network, network + MATCHED):
            load = saved.get(f"{picture.set}/{method}/{picture.image}")
            if load is not None:
                yield method, load


def _by_method(picture: Picture, lr: RgbImage, saved: SavedPictures) -> Iterator[tuple[str, RgbImage]]:
    """(method, pixels) of interpolations, then networks, in the order of the tables."""
    for method in INTERPOLATIONS:
        bicubic = method == "bicubic"
        yield method, picture.resampling.enlarge(lr, SCALE) if bicubic else enlarge(lr, SCALE, method)
    for method, load in _saved_methods(picture, saved):
        yield method, np.asarray(load())
