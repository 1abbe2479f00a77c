"""Measure ingestion, materialization and reading beside bare loops over the same files, and memory.

The files are JPEGs of MSCOCO's size, cut from the sample's photographs.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, LocalCluster
from numpy.typing import NDArray
from PIL import Image

from benchmarks.coco_index import HEIGHT, WIDTH, measure_annotations, peak_mb
from sr_pipeline.crops.layout import CropLayout
from sr_pipeline.crops.shards import CropShards, ShardPlan, SourceImage
from sr_pipeline.crops.writing import CropPlan, WorkerConfig
from sr_pipeline.pipelines.ingest.nodes import inspect_photographs
from sr_pipeline.sources.coco import read_coco
from sr_pipeline.sources.parameters import IngestParameters
from sr_pipeline.sources.photograph import Photograph, Selection
from sr_pipeline.sources.sample import write_sample
from sr_pipeline.storage import UPath

LAYOUT = CropLayout(seed=0, crop_size=96, crops_per_image=1, scale=4)
DISTINCT, GRAIN = 60, 8


def measure_data() -> dict[str, Any]:
    """All figures from photographs to crops."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = write_jpegs(folder / "jpegs")
        return {
            "ingest": _measure_ingest(files),
            "materialize": _measure_materialize(files, folder / "crops"),
            "open_crops": _measure_opening(files, folder / "opened"),
            "annotations": measure_annotations(folder),
        }


def write_jpegs(folder: Path) -> list[str]:
    """Photographs of 640x480 pixels, with grain added so that their JPEGs are as large as MSCOCO's: about 160 kB."""
    folder.mkdir(parents=True)
    sample = read_coco(write_sample(folder / "sample"), Selection(seed=0))
    pictures = [Image.open(photograph.file).convert("RGB") for photograph in sample]
    rng = np.random.default_rng(0)
    files = []
    for number in range(DISTINCT):
        picture = pictures[number % len(pictures)]
        width = min(picture.width, picture.height * WIDTH // HEIGHT) * rng.uniform(0.6, 1)
        left, top = rng.uniform(0, picture.width - width), rng.uniform(0, picture.height - width * HEIGHT / WIDTH)
        box = (left, top, left + width, top + width * HEIGHT / WIDTH)
        files.append(str(folder / f"{number}.jpg"))
        pixels = np.asarray(picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box), np.float32)
        grained = pixels + rng.normal(0, GRAIN, (HEIGHT, WIDTH, 1))
        Image.fromarray(grained.clip(0, 255).astype(np.uint8)).save(files[-1], quality=93)
    return files


def _measure_ingest(files: list[str], count: int = 240) -> dict[str, float]:
    photographs = [
        Photograph(n, UPath(files[n % len(files)]), "train" if n % 10 else "val", WIDTH, HEIGHT) for n in range(count)
    ]
    unused = {"images": "unused", "annotations": "unused"}

    def parameters(workers: int) -> IngestParameters:
        return IngestParameters(source="coco", coco={"train": unused, "val": unused}, workers=workers)

    def bare() -> None:
        for photograph in photographs:
            with Image.open(str(photograph.file)) as picture:
                picture.load()

    alone, one, two = _rounds(
        bare,
        lambda: inspect_photographs(photographs, parameters(1)),
        lambda: inspect_photographs(photographs, parameters(2)),
        repeats=21,
    ).T
    return {
        "images_per_s": count / float(np.median(one)),
        "of_bare_loop": _ratio(alone, one),
        "two_threads_of_one": _ratio(one, two),
    }


def _measure_materialize(files: list[str], folder: Path) -> dict[str, float]:
    few, many = 240, 2000
    # Short turns: this process against the bare loop.
    plan = plan_shards(files, few, LAYOUT)
    alone, inside = _rounds(
        lambda: _cut_bare(files, few), lambda: _write(plan, folder, WorkerConfig(workers=1)), repeats=21
    ).T
    # Long turns: sending work to a cluster takes a tenth of a second once.
    plan = plan_shards(files, many, LAYOUT)
    with _cluster(1) as one_worker, _cluster(2) as two_workers:
        bare, one, two = _rounds(
            lambda: _cut_bare(files, many),
            lambda: _write(plan, folder, WorkerConfig(scheduler=one_worker.scheduler_address)),
            lambda: _write(plan, folder, WorkerConfig(scheduler=two_workers.scheduler_address)),
            repeats=5,
        ).T
    return {
        "images_per_s": few / float(np.median(inside)),
        "of_bare_loop": _ratio(alone, inside),
        "one_worker_of_bare_loop": _ratio(bare, one),
        "two_workers_of_one": _ratio(one, two),
        "cluster_start_s": _seconds(lambda: _cluster(2).close()),
        "worker_peak_mb_100_images": _worker_peak(plan_shards(files, 100, LAYOUT), folder),
        "worker_peak_mb_2000_images": _worker_peak(plan_shards(files, 2000, LAYOUT), folder),
    }


def _cut_bare(files: list[str], count: int) -> None:
    """The work that materializing cannot avoid: decode, cut, reduce, and keep the bytes."""
    kept = []
    rng = np.random.default_rng(0)
    for number in range(count):
        with Image.open(files[number % len(files)]) as picture:
            left, top = rng.integers(WIDTH - 96 + 1), rng.integers(HEIGHT - 96 + 1)
            crop = picture.crop((left, top, left + 96, top + 96))
        kept.append(crop.tobytes() + crop.resize((24, 24), Image.Resampling.BICUBIC).tobytes())


def _measure_opening(files: list[str], folder: Path) -> dict[str, float]:
    """Seconds to the first crop, for few crops and for many, in the same number of shards."""
    few, many = (CropLayout(seed=0, crop_size=96, crops_per_image=k, scale=4) for k in (2, 200))
    for name, layout in (("few", few), ("many", many)):
        plan_shards(files, 60, layout).write(folder / name)
    CropShards(folder / "few")[0]  # imports
    few_s, many_s = np.median(
        _rounds(lambda: CropShards(folder / "few")[0], lambda: CropShards(folder / "many")[0], repeats=20), axis=0
    )
    return {"s_of_120_crops": float(few_s), "s_of_12000_crops": float(many_s)}


def plan_shards(files: list[str], count: int, layout: CropLayout, shards: int = 12) -> CropPlan:
    """A plan over ``count`` images, which repeat ``files``."""
    hashes = {file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files}
    images = [SourceImage(n, files[n % len(files)], hashes[files[n % len(files)]]) for n in range(count)]
    plans = tuple(ShardPlan(f"{s:02d}.array_record", tuple(images[s::shards]), layout) for s in range(shards))
    return CropPlan("train", plans, layout)


def _write(plan: CropPlan, folder: Path, worker_config: WorkerConfig) -> None:
    CropPlan(plan.split, plan.shards, plan.layout, worker_config).write(folder)


def _cluster(workers: int) -> Any:
    return LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0")


def _worker_peak(plan: CropPlan, folder: Path) -> float:
    with _cluster(1) as cluster, Client(cluster) as client:
        _write(plan, folder, WorkerConfig(scheduler=cluster.scheduler_address))
        [peak] = client.run(peak_mb).values()
    return float(peak)


def _rounds(*actions: Callable[[], Any], repeats: int) -> NDArray[np.float64]:
    """Durations, one row per round: actions take turns, so that the machine's noise affects them all alike."""
    return np.array([[_seconds(action) for action in actions] for _ in range(repeats)])


def _ratio(numerator: NDArray[np.float64], denominator: NDArray[np.float64]) -> float:
    """Median of the ratios within rounds."""
    return float(np.median(numerator / denominator))


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
