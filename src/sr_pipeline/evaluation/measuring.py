"""Measuring pictures one after the other by the chosen metrics."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sr_pipeline.evaluation.metrics import METRICS, Measure, Networks
from sr_pipeline.evaluation.parameters import EvaluateParameters, GrayScoring
from sr_pipeline.evaluation.pictures import Picture
from sr_pipeline.imaging.metrics import Enlarged, Original
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.processor import usable_cores


@dataclass(frozen=True)
class Protocol:
    """How enlarged pictures are compared with their originals.

    Attributes:
        measures: what computes each metric, by name, in the order of the tables.
        gray: how originals without colour are scored.
    """

    measures: dict[str, Measure]
    gray: GrayScoring = "rgb"

    def measure(self, original: Original, images: dict[str, RgbImage]) -> list[dict[str, Any]]:
        """One row per entry of ``images``, which are enlarged pictures by method."""
        enlarged = [Enlarged(image, original) for image in images.values()]
        columns = {name: measure(original, enlarged) for name, measure in self.measures.items()}
        return [
            {"method": method, **{name: values[number] for name, values in columns.items()}}
            for number, method in enumerate(images)
        ]


def with_files(networks: Networks, parameters: EvaluateParameters) -> Networks:
    """``networks`` with the weights that only metrics use."""
    return networks._replace(vgg16=parameters.vgg16)


def chosen_metrics(parameters: EvaluateParameters, networks: Networks) -> tuple[str, ...]:
    """The metrics of an evaluation, in the order of the tables."""
    if parameters.metrics:
        return tuple(name for name in METRICS if name in parameters.metrics)
    return tuple(name for name, metric in METRICS.items() if metric.by_default(networks))


def check_metrics(parameters: EvaluateParameters, networks: Networks) -> None:
    """Check that what the metrics need is given, before anything runs.

    Raises:
        UserError: if it is not.
    """
    for name in chosen_metrics(parameters, networks):
        METRICS[name].check(with_files(networks, parameters))


def build_protocol(parameters: EvaluateParameters, networks: Networks) -> Protocol:
    """Load what the chosen metrics need."""
    names, networks = chosen_metrics(parameters, networks), with_files(networks, parameters)
    return Protocol({name: METRICS[name].prepare(networks) for name in names}, parameters.gray)


def measure_pictures(
    pictures: Iterable[Picture],
    methods: Callable[[Picture, RgbImage], Iterator[tuple[str, RgbImage]]],
    protocol: Protocol,
    workers: int | None = None,
) -> pd.DataFrame:
    """Measure every method on every picture: set, image, method, one column per metric.

    No more pictures are in memory than there are threads.

    Args:
        pictures: what to measure on.
        methods: gives the name and the result of every method on a picture, given its low-resolution version.
        protocol: how.
        workers: threads; none: one per core.
    """

    def rows_of(picture: Picture) -> list[dict[str, Any]]:
        original = picture.original(gray=protocol.gray)
        images = dict(methods(picture, original.lr))
        return [{"set": picture.set, "image": picture.image} | row for row in protocol.measure(original, images)]

    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        rows = [row for rows in pool.map(rows_of, pictures) for row in rows]
    return pd.DataFrame(rows, columns=["set", "image", "method", *protocol.measures])
