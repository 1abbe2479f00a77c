"""From photographs to crop shards, on real pictures, with real kills."""

import pickle
import random
import subprocess
import sys
import time
from dataclasses import replace

import pandas as pd
import pytest
import skimage.data
import yaml
from PIL import Image

from sr_pipeline.crops.parameters import MaterializeParameters
from sr_pipeline.crops.shards import CropShards
from sr_pipeline.crops.writing import WorkerConfig
from sr_pipeline.pipelines.ingest.nodes import inspect_photographs, list_photographs
from sr_pipeline.pipelines.materialize.nodes import plan_crops
from sr_pipeline.sources.parameters import IngestParameters
from tests.conftest import PATIENCE, TINY, Project


def content(folder):
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def crops_of(manifest, folder, workers, **parameters):
    for plan in plan_crops(manifest, 0, MaterializeParameters(**parameters, workers=workers)):
        plan.write(folder / plan.split)


@pytest.mark.slow
def test_all_real_coco_images_give_the_same_shards_with_one_two_and_three_workers(shared, tmp_path):
    coco = {
        split: {
            "images": shared / f"data/coco/images/{split}",
            "annotations": shared / f"data/coco/annotations/instances_{split}.json",
        }
        for split in ("train", "val")
    }
    parameters = IngestParameters(source="coco", coco=coco)
    manifest, report = inspect_photographs(list_photographs(parameters, 0), parameters)
    assert report == {"total": 443, "ok": 443, "excluded": {}}
    assert set(manifest["mode"]) == {"RGB", "L"}
    for workers in (1, 2, 3):
        crops_of(manifest, tmp_path / str(workers), workers, crops_per_image=2, shards=7)
    assert content(tmp_path / "1") == content(tmp_path / "2") == content(tmp_path / "3")
    assert len(CropShards(tmp_path / "1/train")) == 2 * 343
    assert len(CropShards(tmp_path / "1/val")) == 2 * 100


WRITE = """
import pickle, sys
if __name__ == "__main__":
    with open(sys.argv[1], "rb") as file:
        pickle.load(file).write(sys.argv[2])
"""


@pytest.mark.parametrize(("workers", "kills"), [(1, 10), pytest.param(2, 4, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_result_is_the_same(finished, tmp_path, workers, kills):
    manifest = pd.read_parquet(finished.path("data/02_intermediate/images.parquet"))
    manifest["file"] = [str(finished.path(file)) for file in manifest["file"]]
    copies = pd.concat([manifest.assign(id=manifest["id"] + 100 * n) for n in range(8)], ignore_index=True)
    plan, _ = plan_crops(copies, 0, MaterializeParameters(crops_per_image=200, shards=40, workers=1))
    started = time.monotonic()
    plan.write(tmp_path / "uninterrupted")
    duration = time.monotonic() - started

    script, pickled = tmp_path / "write.py", tmp_path / "plan.pickle"
    script.write_text(WRITE)
    pickled.write_bytes(pickle.dumps(replace(plan, worker_config=WorkerConfig(workers))))
    folder = tmp_path / "killed"
    moments = random.Random(workers)
    for finished_shards in sorted(moments.sample(range(1, len(plan.shards) // 2), kills)):
        process = subprocess.Popen([sys.executable, script, pickled, folder], stderr=subprocess.DEVNULL)
        wait_for_a_shard_in_the_making(folder, process, finished_shards)
        time.sleep(moments.uniform(0, duration / len(plan.shards)))
        assert process.poll() is None, "it must be killed while it works"
        process.kill()
        process.wait()
    assert 0 < len(list(folder.glob("*.array_record"))) < len(plan.shards)
    subprocess.run([sys.executable, script, pickled, folder], check=True)
    assert content(folder) == content(tmp_path / "uninterrupted")


def wait_for_a_shard_in_the_making(folder, process, finished_shards):
    """Until the process writes a shard and so many are finished: a moment that a busy machine does not shift."""
    before = set(folder.glob("*.partial"))
    until = time.monotonic() + PATIENCE
    while not set(folder.glob("*.partial")) - before or len(list(folder.glob("*.array_record"))) < finished_shards:
        assert process.poll() is None, "it must be killed while it works"
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.mark.slow
def test_the_whole_chain_on_a_folder_of_photographs(tmp_path):
    """Gray and colour, in folders, one name twice, one file broken."""
    photographs = tmp_path / "photographs"
    for number in range(6):
        (photographs / str(number)).mkdir(parents=True)
        picture = Image.fromarray(skimage.data.astronaut()[:, 60 * number : 60 * number + 150])
        (picture.convert("L") if number == 2 else picture).save(photographs / f"{number}/same_name.png")
    (photographs / "broken.jpg").write_bytes(b"no picture")
    project = Project(tmp_path / "project", TINY)
    local = {"source": "folder", "folder": {"path": str(photographs), "val_fraction": 0.3}}
    project.path("conf/local/parameters.yml").write_text(yaml.safe_dump(TINY | {"ingest": local}))
    log = project.kedro("run").stderr
    assert "6 of 7 photographs are usable, set aside: {'undecodable': 1}" in log
    manifest = pd.read_parquet(project.path("data/02_intermediate/images.parquet"))
    held_out = manifest[(manifest["status"] == "ok") & (manifest["split"] == "val")]
    per_image = pd.read_csv(project.path("data/08_reporting/per_image.csv"))
    assert per_image["image"].nunique() == len(held_out) > 0
    assert project.path("data/08_reporting/contact_sheet.png").is_file()
