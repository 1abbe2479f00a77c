"""Measure the cost of evaluating relative to super-resolving, and the evaluation of 100 pictures of BSD's size."""

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.training import median_seconds
from sr_pipeline.evaluation.measuring import build_protocol, measure_pictures
from sr_pipeline.evaluation.metrics import Networks
from sr_pipeline.evaluation.parameters import EvaluateParameters
from sr_pipeline.evaluation.pictures import Picture
from sr_pipeline.imaging.resample import enlarge
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.inference.engines import choose_engine
from sr_pipeline.inference.folding import fold
from sr_pipeline.inference.upscaler import Upscaler
from sr_pipeline.networks.generator import build_generator
from sr_pipeline.networks.parameters import GeneratorParameters, LpipsParameters, PerceptualParameters
from sr_pipeline.pipelines.evaluate import nodes
from sr_pipeline.sources.coco import read_coco
from sr_pipeline.sources.photograph import Selection
from sr_pipeline.sources.sample import write_sample

WIDTH, HEIGHT, COUNT = 481, 321, 100
_NO_NETWORKS = Networks(LpipsParameters(weights=None), PerceptualParameters(weights="untrained"))


def measure_evaluation() -> dict[str, Any]:
    """Figures of the full network (16 blocks, 64 filters) with random weights, in float32."""
    generator = build_generator(GeneratorParameters())
    with tempfile.TemporaryDirectory() as scratch:
        images = _write_pictures(Path(scratch))
        return {**_measure_measures(generator, images), **_measure_all(generator, images, Path(scratch))}


def _write_pictures(folder: Path) -> pd.DataFrame:
    """A manifest of ``COUNT`` photographs of BSD's size, cut from the sample's."""
    rng = np.random.default_rng(0)
    pictures = [
        Image.open(p.file).convert("RGB") for p in read_coco(write_sample(folder / "sample"), Selection(seed=0))
    ]
    large = [picture for picture in pictures if picture.width >= WIDTH and picture.height >= HEIGHT]
    rows = []
    for number, picture in zip(range(COUNT), itertools.cycle(large), strict=False):
        left, top = rng.integers(picture.width - WIDTH + 1), rng.integers(picture.height - HEIGHT + 1)
        file = folder / f"{number:03}.png"
        picture.crop((left, top, left + WIDTH, top + HEIGHT)).save(file)
        rows.append({"id": number, "file": str(file), "split": "val", "status": "ok", "sha256": str(number)})
    return pd.DataFrame(rows).assign(mode="RGB", width=WIDTH, height=HEIGHT)


def _measure_measures(generator: Any, images: pd.DataFrame, count: int = 16) -> dict[str, float]:
    """Seconds to super-resolve a picture, and to measure one result by everything but LPIPS; both on all cores.

    Measured as an evaluation does it: several pictures at once, and of each as many results as one network brings,
    which share what is computed once for an original.
    """
    parameters = EvaluateParameters()
    upscaler = Upscaler(choose_engine(fold(generator), parameters.engine), parameters.tile)
    pictures = [Picture("val", str(n), file) for n, file in enumerate(images["file"].iloc[:count])]
    lr = pictures[0].low_resolution()

    def results(picture: Picture, lr: RgbImage) -> Iterator[tuple[str, RgbImage]]:
        for method in ("nearest", "bicubic", "srgan", "srgan_matched"):
            yield method, enlarge(lr, 4, "nearest" if method == "nearest" else "bicubic")

    protocol = build_protocol(EvaluateParameters(), _NO_NETWORKS)
    super_resolve_s = median_seconds(lambda: upscaler(lr), 9)
    measure_s = median_seconds(lambda: measure_pictures(pictures, results, protocol), 5) / count / 4
    return {
        "super_resolve_s": super_resolve_s,
        "measure_s": measure_s,
        "measure_of_super_resolve": measure_s / super_resolve_s,
    }


def _measure_all(generator: Any, images: pd.DataFrame, folder: Path) -> dict[str, float]:
    """Seconds of all that ``kedro run --pipelines=evaluate`` does with one network, files and report included."""
    parameters = EvaluateParameters()
    started = time.perf_counter()
    listed = nodes.list_measured_pictures(images, parameters, 0)
    generators, model = nodes.choose_generators({"srgan": generator}, {}, parameters)
    super_resolved = _saved(nodes.super_resolve_pictures(listed, generators, parameters), folder / "super_resolved")
    matched = _saved(nodes.match_histograms(listed, super_resolved, parameters), folder / "matched")
    per_image = nodes.measure_methods(listed, super_resolved, matched, parameters, *_NO_NETWORKS)
    statistics = nodes.summarize_metrics(per_image, parameters, 0)
    evaluation = nodes.describe_evaluation(listed, model, parameters)
    sheets = _saved(nodes.draw_pictures(listed, super_resolved, matched, per_image, parameters), folder / "sheets")
    nodes.write_report(listed, super_resolved, matched, per_image, statistics, evaluation, sheets)
    return {f"evaluate_{COUNT}_pictures_s": time.perf_counter() - started}


def _saved(pictures: nodes.SavedPictures, folder: Path) -> nodes.SavedPictures:
    from kedro_datasets.partitions import PartitionedDataset
    from kedro_datasets.pillow import ImageDataset

    dataset = PartitionedDataset(path=str(folder), dataset={"type": ImageDataset}, filename_suffix=".png")
    dataset.save(pictures)
    return dataset.load()
