import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
from PIL import Image
from upath import UPath

from sr_pipeline.crops.layout import CropLayout, crop_corners, cut_pairs
from sr_pipeline.crops.shards import INDEX, CropShards, ShardPlan, SourceImage
from sr_pipeline.crops.writing import CropPlan, WorkerConfig
from sr_pipeline.datasets.crop_shards import CropShardsDataset
from sr_pipeline.errors import UserError
from tests.servers import free_port

LAYOUT = CropLayout(seed=5, crop_size=48, crops_per_image=6, scale=4)
ALONE = WorkerConfig(workers=1)


@pytest.fixture
def plan(tmp_path, photograph):
    files = []
    for number in range(3):
        file = tmp_path / f"{number}.png"
        Image.fromarray(np.roll(photograph, 40 * number, axis=1)).save(file)
        files.append(SourceImage(number, str(file), hashlib.sha256(file.read_bytes()).hexdigest()))
    shards = (ShardPlan("a.array_record", tuple(files[:2]), LAYOUT), ShardPlan("b.array_record", (files[2],), LAYOUT))
    return CropPlan("train", shards, LAYOUT, ALONE)


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_what_is_read_is_what_was_cut(plan, tmp_path, photograph):
    plan.write(tmp_path / "crops")
    shards = CropShards(tmp_path / "crops")
    assert len(shards) == 18
    expected = []
    for number in range(3):
        picture = Image.fromarray(np.roll(photograph, 40 * number, axis=1))
        expected += cut_pairs(picture, crop_corners(5, number, 6, photograph.shape[:2], 48), 48, 4)
    for i, (hr, lr) in enumerate(expected):
        assert np.array_equal(shards[i][0], hr)
        assert np.array_equal(shards[i][1], lr)


def test_the_index_describes_the_shards(plan, tmp_path):
    folder = tmp_path / "crops"
    plan.write(folder)
    index = json.loads((folder / INDEX).read_text())
    assert index["layout"] == {"seed": 5, "crop_size": 48, "crops_per_image": 6, "scale": 4, "min_contrast": 0}
    assert (index["images"], index["count"]) == (3, 18)
    assert [shard["file"] for shard in index["shards"]] == ["a.array_record", "b.array_record"]
    for shard in index["shards"]:
        data = (folder / shard["file"]).read_bytes()
        assert shard["sha256"] == hashlib.sha256(data).hexdigest()
        assert shard["bytes"] == len(data)
        assert shard["count"] == 6 * shard["images"]


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_do_not_change_the_bytes(plan, tmp_path, workers):
    plan.write(tmp_path / "one")
    replace(plan, worker_config=WorkerConfig(workers)).write(tmp_path / "many")
    assert content(tmp_path / "one") == content(tmp_path / "many")


def test_a_scheduler_elsewhere(plan, tmp_path, monkeypatch):
    """A scheduler and a worker as programs of their own, in another folder, as on a cluster."""
    (tmp_path / "elsewhere").mkdir()
    address = f"tcp://127.0.0.1:{free_port()}"
    run = {"cwd": tmp_path / "elsewhere", "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", address, "--no-dashboard"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard", "--nthreads", "1"]
    programs = [subprocess.Popen(scheduler, **run), subprocess.Popen(worker, **run)]
    try:
        plan.write(tmp_path / "one")
        monkeypatch.chdir(tmp_path)
        replace(plan, worker_config=WorkerConfig(scheduler=address)).write("cluster")
    finally:
        for program in programs:
            program.kill()
            program.wait()
    assert content(tmp_path / "one") == content(tmp_path / "cluster")


def test_a_scheduler_that_is_not_there(plan, tmp_path, monkeypatch):
    import dask.config

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.3s"}),
        pytest.raises(UserError, match=r"no Dask scheduler answers at materialize\.scheduler=tcp://127\.0\.0\.1"),
    ):
        replace(plan, worker_config=WorkerConfig(scheduler=f"tcp://127.0.0.1:{free_port()}")).write(tmp_path / "crops")


def test_a_scheduler_without_workers(plan, tmp_path, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr("sr_pipeline.dask_cluster._PATIENCE", 0.3)
    with (
        LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as cluster,
        pytest.raises(UserError, match=r"has had no worker for 0\.3 s; start one: dask worker tcp://127"),
    ):
        replace(plan, worker_config=WorkerConfig(scheduler=cluster.scheduler_address)).write(tmp_path / "crops")


def test_an_earlier_plans_shards_go(plan, tmp_path):
    folder = tmp_path / "crops"
    plan.write(folder)
    replace(plan, shards=plan.shards[:1]).write(folder)
    assert sorted(content(folder)) == ["a.array_record", INDEX]


def without_second_image(plan):
    """A plan whose second shard cannot be written: its photograph is gone."""
    gone = replace(plan.shards[1], images=(SourceImage(9, "gone.png", ""),))
    return replace(plan, shards=(plan.shards[0], gone))


def test_what_an_interrupted_run_finished_is_kept(plan, tmp_path, caplog):
    caplog.set_level("INFO")
    folder = tmp_path / "crops"
    plan.write(tmp_path / "uninterrupted")
    with pytest.raises(UserError):
        without_second_image(plan).write(folder)
    with pytest.raises(UserError, match="there are no finished crops"):
        CropShards(folder)
    before = (folder / "a.array_record").stat()
    plan.write(folder)
    assert "train: 1 of 2 shards are there already" in caplog.text
    assert (folder / "a.array_record").stat().st_mtime_ns == before.st_mtime_ns
    assert content(folder) == content(tmp_path / "uninterrupted")


def test_what_was_finished_from_other_parameters_or_is_damaged_is_not_kept(plan, tmp_path, caplog):
    folder = tmp_path / "crops"
    plan.write(tmp_path / "uninterrupted")
    for change in ("layout", "damage", "cut"):
        caplog.clear()
        with pytest.raises(UserError):
            without_second_image(plan).write(folder)
        shard = folder / "a.array_record"
        if change == "layout":
            other = replace(LAYOUT, seed=6)
            replace(plan, layout=other, shards=tuple(replace(s, layout=other) for s in plan.shards)).write(folder)
        elif change == "damage":
            shard.write_bytes(shard.read_bytes()[:-1] + b"x")
        else:
            shard.write_bytes(b"")
        plan.write(folder)
        assert "are there already" not in caplog.text
        assert content(folder) == content(tmp_path / "uninterrupted")


def test_a_photograph_that_changed_since_ingest(plan, tmp_path):
    file = tmp_path / "2.png"
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(UserError, match=r"2\.png has changed since ingest; run kedro run --pipelines=ingest again"):
        plan.write(tmp_path / "crops")
    file.unlink()
    with pytest.raises(UserError, match=r"2\.png can no longer be read"):
        replace(plan, worker_config=WorkerConfig(2)).write(tmp_path / "crops")


def test_flat_photographs_give_no_crops(plan, tmp_path):
    file = tmp_path / "flat.png"
    Image.new("RGB", (99, 99)).save(file)
    layout = replace(LAYOUT, min_contrast=2)
    flat = SourceImage(7, str(file), hashlib.sha256(file.read_bytes()).hexdigest())
    shards = (replace(plan.shards[0], layout=layout), ShardPlan("flat.array_record", (flat,), layout))
    CropPlan("train", shards, layout, ALONE).write(tmp_path / "crops")
    assert sorted(content(tmp_path / "crops")) == ["a.array_record", INDEX]
    assert len(CropShards(tmp_path / "crops")) <= 12
    with pytest.raises(
        UserError, match=r"no crop of split 'val' has a contrast of materialize\.min_contrast=2 or more"
    ):
        CropPlan("val", shards[1:], layout, ALONE).write(tmp_path / "val")


def test_a_worker_killed_in_mid_run_changes_nothing(tmp_path, photograph):
    """SIGKILL to whichever worker is at work, three times; its shard is written by another."""
    Image.fromarray(photograph).save(tmp_path / "a.jpg")
    sha256 = hashlib.sha256((tmp_path / "a.jpg").read_bytes()).hexdigest()
    images = tuple(SourceImage(number, str(tmp_path / "a.jpg"), sha256) for number in range(60))
    shards = tuple(ShardPlan(f"{n:02d}.array_record", images[n * 5 : n * 5 + 5], LAYOUT_MANY) for n in range(12))
    plan = CropPlan("train", shards, LAYOUT_MANY, ALONE)
    plan.write(tmp_path / "one")
    killed = []
    stop = threading.Event()
    killer = threading.Thread(target=kill_writers, args=(tmp_path / "two", killed, stop))
    killer.start()
    replace(plan, worker_config=WorkerConfig(2)).write(tmp_path / "two")
    stop.set()
    killer.join()
    assert len(killed) == 3
    assert content(tmp_path / "one") == content(tmp_path / "two")


LAYOUT_MANY = replace(LAYOUT, crops_per_image=400)


def kill_writers(folder, killed, stop):
    while len(killed) < 3 and not stop.wait(0.01):
        partials = list(folder.glob("*.partial")) if folder.exists() else []
        for process in psutil.Process().children(recursive=True) if partials else []:
            try:
                open_files = {file.path for file in process.open_files()}
            except psutil.Error:
                continue
            if any(str(partial) in open_files for partial in partials):
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
                time.sleep(0.5)
                break


def test_crops_on_object_storage(plan, tmp_path, monkeypatch):
    """fsspec's storage in memory, which this process alone sees, written and read like S3."""
    monkeypatch.chdir(tmp_path)
    plan.write(tmp_path / "local")
    photographs = UPath("memory://photographs")
    for number in range(3):
        (photographs / f"{number}.png").write_bytes((tmp_path / f"{number}.png").read_bytes())
    remote = tuple(
        replace(s, images=tuple(i._replace(file=f"memory://photographs/{i.id}.png") for i in s.images))
        for s in plan.shards
    )
    dataset = CropShardsDataset(filepath="memory://crops/train", cache=str(tmp_path / "cache"))
    assert not dataset.exists()
    dataset.save(replace(plan, shards=remote))
    assert dataset.exists()
    assert {f.name: f.read_bytes() for f in UPath("memory://crops/train").iterdir()} == content(tmp_path / "local")
    assert np.array_equal(dataset.load()[17][0], CropShards(tmp_path / "local")[17][0])
    [copy] = (tmp_path / "cache").iterdir()
    assert content(copy) == content(tmp_path / "local")


def test_a_missing_shard_is_named(plan, tmp_path):
    plan.write(tmp_path / "crops")
    (tmp_path / "crops/b.array_record").unlink()
    with pytest.raises(UserError, match=r"crop shard .*b\.array_record is missing; make it again with kedro run"):
        CropShards(tmp_path / "crops")


def test_a_shard_of_another_length_is_named(plan, tmp_path):
    folder = tmp_path / "crops"
    plan.write(folder)
    (folder / "b.array_record").write_bytes(b"short")
    with pytest.raises(UserError, match=r"b\.array_record has 5 bytes where index\.json says \d+; make it again"):
        CropShards(folder)


def test_the_kedro_dataset_writes_and_opens_them(plan, tmp_path):
    dataset = CropShardsDataset(filepath=str(tmp_path / "crops"))
    assert not dataset.exists()
    dataset.save(plan)
    assert dataset.exists()
    assert len(dataset.load()) == 18
