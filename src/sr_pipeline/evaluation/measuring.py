"""What is measured of every picture, and how pictures are measured one after the other."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.measures import MEASURES
from sr_pipeline.evaluation.parameters import LPIPS, VGG_DISTANCE, EvaluateParameters
from sr_pipeline.evaluation.pictures import Picture
from sr_pipeline.imaging.metrics import METRICS, Original
from sr_pipeline.imaging.ranges import to_minus_one_one
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.networks.parameters import LAST_LAYER, LpipsParameters, PerceptualParameters
from sr_pipeline.processor import usable_cores

NetworkDistance = Callable[[np.ndarray, np.ndarray], Any]
"""From pictures in [-1, 1], (1, h, w, 3) and (n, h, w, 3), to n distances."""

_LPIPS_EDGE = 31  # pixels; of less, AlexNet's poolings leave nothing


@dataclass(frozen=True)
class Protocol:
    """How enlarged pictures are compared with their originals.

    Attributes:
        metrics: names, in the order of the tables.
        raw_gray: whether gray originals are scored on their gray values.
        distances: those metrics that a network computes.
    """

    metrics: tuple[str, ...]
    raw_gray: bool
    distances: dict[str, NetworkDistance]

    def measure(self, original: Original, images: dict[str, RgbImage]) -> list[dict[str, Any]]:
        """A row for each of ``images``, by method."""
        measured = {
            method: original.measure(image, [name for name in self.metrics if name in METRICS])
            for method, image in images.items()
        }
        if self.distances:
            reference, stack = (
                to_minus_one_one(original.hr[np.newaxis]),
                to_minus_one_one(np.stack(list(images.values()))),
            )
            for name, distance in self.distances.items():
                fits = name != LPIPS or min(original.hr.shape[:2]) >= _LPIPS_EDGE
                values = np.asarray(distance(reference, stack)) if fits else np.full(len(stack), np.nan)
                for method, value in zip(images, values, strict=True):
                    measured[method][name] = float(value)
        return [{"method": method} | {name: row[name] for name in self.metrics} for method, row in measured.items()]


def chosen_metrics(parameters: EvaluateParameters, lpips: LpipsParameters) -> tuple[str, ...]:
    """The metrics of an evaluation, in the order of the tables."""
    wanted: Iterable[str] = parameters.metrics or [*METRICS, *([LPIPS] if lpips.weights else [])]
    return tuple(name for name in MEASURES if name in wanted)


def check_metrics(parameters: EvaluateParameters, lpips: LpipsParameters, perceptual: PerceptualParameters) -> None:
    """Check that what the metrics need is given, before anything runs.

    Raises:
        UserError: if it is not.
    """
    metrics = chosen_metrics(parameters, lpips)
    if LPIPS in metrics:
        if lpips.weights is None:
            raise UserError(
                "evaluate.metrics asks for lpips, which needs its weights: set lpips.weights to 'packaged', or to an "
                ".npz file of LPIPS-Alex"
            )
        lpips.check_file()
    if VGG_DISTANCE in metrics:
        if perceptual.weights in ("untrained", "packaged"):
            raise UserError(
                f"evaluate.metrics asks for vgg_distance, which needs trained weights of VGG19 up to {LAST_LAYER}: set "
                "perceptual.weights to 'imagenet' or the path of a VGG19 .weights.h5 file"
            )
        perceptual.check([LAST_LAYER])


def build_protocol(
    parameters: EvaluateParameters, lpips: LpipsParameters, perceptual: PerceptualParameters
) -> Protocol:
    """Load what the chosen metrics need."""
    metrics = chosen_metrics(parameters, lpips)
    distances: dict[str, NetworkDistance] = {}
    if LPIPS in metrics:
        from sr_pipeline.networks.lpips import Lpips

        distances[LPIPS] = Lpips(str(lpips.weights))
    if VGG_DISTANCE in metrics:
        from sr_pipeline.networks.features import FeatureExtractor, feature_distance

        extractor = FeatureExtractor(perceptual.weights)
        distances[VGG_DISTANCE] = lambda reference, images: feature_distance(extractor, reference, images)
    return Protocol(metrics, parameters.gray == "raw", distances)


def measure_pictures(
    pictures: Iterable[Picture],
    methods: Callable[[Picture, RgbImage], Iterator[tuple[str, RgbImage]]],
    protocol: Protocol,
    workers: int | None = None,
) -> pd.DataFrame:
    """Measure every method on every picture: set, image, method, one column a metric.

    No more pictures are in memory than there are threads.

    Args:
        pictures: what to measure on.
        methods: gives the name and the result of every method on a picture, given its low-resolution version.
        protocol: how.
        workers: threads; none: one a core.
    """

    def rows_of(picture: Picture) -> list[dict[str, Any]]:
        original = picture.original(raw_gray=protocol.raw_gray)
        images = dict(methods(picture, original.lr))
        return [{"set": picture.set, "image": picture.image} | row for row in protocol.measure(original, images)]

    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        rows = [row for rows in pool.map(rows_of, pictures) for row in rows]
    return pd.DataFrame(rows, columns=["set", "image", "method", *protocol.metrics])
