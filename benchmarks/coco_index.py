"""Measure indexing an annotation file of MSCOCO-2014's size, alone with ``python -m benchmarks.coco_index``.

The file has as many images and annotations as instances_train2014.json, and polygons as long as its are on average.
It is indexed in a process of its own, whose peak memory includes Python and everything imported.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from sr_pipeline.sources.coco import read_coco
from sr_pipeline.sources.parameters import CocoParameters
from sr_pipeline.sources.photograph import Selection

WIDTH, HEIGHT = 640, 480
IMAGES, ANNOTATIONS = 82_783, 600_000  # of instances_train2014.json


def measure_annotations(folder: Path) -> dict[str, float]:
    """Seconds and peak memory of ``read_coco`` on files written into ``folder``."""
    _write_annotations(folder / "train.json", IMAGES, ANNOTATIONS, first=0)
    _write_annotations(folder / "val.json", 10, 10, first=IMAGES)
    command = [sys.executable, "-m", "benchmarks.coco_index", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size = (folder / "train.json").stat().st_size / 1e6
    return {"annotations": ANNOTATIONS, "file_mb": size, **json.loads(done.stdout)}


def index(folder: str) -> dict[str, float]:
    """Index the files in ``folder`` in this process."""
    splits = {name: {"images": folder, "annotations": f"{folder}/{name}.json"} for name in ("train", "val")}
    started, worked = time.perf_counter(), time.process_time()
    photographs = read_coco(CocoParameters(**splits), Selection(seed=0))
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    return {"images": len(photographs), "index_s": seconds, "index_cpu_s": cpu, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """Peak resident memory of this process; getrusage would count what its parent had before the start."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _write_annotations(file: Path, images: int, annotations: int, first: int) -> None:
    """Polygons have the length of MSCOCO's on average, 50 numbers."""
    rng = np.random.default_rng(0)
    polygons = [np.round(rng.uniform(0, 480, 50), 2).tolist() for _ in range(100)]
    with file.open("w") as out:
        out.write('{"licenses": [{"id": 1, "name": "licence"}], "categories": ')
        out.write(json.dumps([{"id": n, "name": f"category {n}", "supercategory": "thing"} for n in range(1, 81)]))
        out.write(', "images": ')
        listed = [_image(n) for n in range(first, first + images)]
        out.write(json.dumps(listed) + ', "annotations": [')
        for number in range(annotations):
            polygon = polygons[number % 100]
            annotation = {
                "segmentation": [polygon],
                "area": 1234.5,
                "iscrowd": 0,
                "image_id": first + number % images,
                "bbox": polygon[:4],
                "category_id": 1 + number % 80,
                "id": number,
            }
            out.write((", " if number else "") + json.dumps(annotation))
        out.write("]}")


def _image(number: int) -> dict[str, Any]:
    name = f"COCO_train2014_{number:012d}.jpg"
    addresses = {"coco_url": f"http://images.cocodataset.org/train2014/{name}", "flickr_url": f"http://flickr/{number}"}
    size = {"height": HEIGHT, "width": WIDTH}
    return {"license": 1, "file_name": name, "date_captured": "2013-11-14 11:18:45", "id": number, **size, **addresses}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        figures = index(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as scratch:
            figures = measure_annotations(Path(scratch))
    sys.stdout.write(json.dumps(figures) + "\n")
