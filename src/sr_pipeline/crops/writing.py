"""Writing all shards of a split, by one process or by the workers of a Dask cluster."""

import contextlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sr_pipeline.crops.layout import CropLayout
from sr_pipeline.crops.shards import INDEX, RECORD, ShardPlan
from sr_pipeline.dask_cluster import local_client, scheduler_client
from sr_pipeline.errors import UserError
from sr_pipeline.storage import UPath, locate, write_text

log = logging.getLogger(__name__)


# Rough times of one core, to tell small work from large.
_SECONDS_AN_IMAGE, _SECONDS_A_CROP, _WORTH_A_WORKER = 4e-3, 0.15e-3, 5.0


@dataclass(frozen=True)
class WorkerConfig:
    """What writes shards: processes of this machine (None: as many as pay off), or workers of a Dask scheduler."""

    workers: int | None = None
    scheduler: str | None = None


@dataclass(frozen=True)
class CropPlan:
    """All shards of one split, and what writes them."""

    split: str
    shards: tuple[ShardPlan, ...]
    layout: CropLayout
    worker_config: WorkerConfig = field(default_factory=WorkerConfig)

    def write(self, folder: Path | str) -> None:
        """Write the shards that are not there yet, then the index, and remove what else lies in ``folder``.

        Raises:
            UserError: if a photograph or the Dask scheduler is not there, workers keep dying, or no crop has
                the contrast asked for.
        """
        target = locate(folder)
        target.mkdir(parents=True, exist_ok=True)
        (target / INDEX).unlink(missing_ok=True)  # a folder without index is an unfinished one
        finished = {plan.file: entry for plan in self.shards if (entry := plan.finished(target))}
        if finished:
            log.info("%s: %d of %d shards are there already", self.split, len(finished), len(self.shards))
        todo = [plan for plan in self.shards if plan.file not in finished]
        for entry in _with_progress(self._write_shards(todo, target), len(todo), self.split):
            finished[entry["file"]] = entry
        entries = [finished[plan.file] for plan in self.shards if finished[plan.file]["count"]]
        self._write_index(target, entries)
        _remove_all_but(target, {INDEX, *(entry["file"] for entry in entries)})

    def _write_index(self, folder: UPath, entries: list[dict[str, Any]]) -> None:
        count = sum(entry["count"] for entry in entries)
        if not count:
            raise UserError(
                f"no crop of split '{self.split}' has a contrast of materialize.min_contrast="
                f"{self.layout.min_contrast} or more; lower it"
            )
        images = sum(len(plan.images) for plan in self.shards)
        index = {
            "record": RECORD,
            "layout": asdict(self.layout),
            "images": images,
            "count": count,
            "shards": entries,
        }
        write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")
        flat = images * self.layout.crops_per_image - count
        without = f", without {flat} flat ones" if flat else ""
        log.info("%s: %d crops of %d photographs in %d shards%s", self.split, count, images, len(entries), without)

    def _write_shards(self, plans: list[ShardPlan], folder: UPath) -> Iterator[dict[str, Any]]:
        """Index entries in the order in which shards are finished."""
        workers = min(self.worker_config.workers or _worthwhile_workers(plans), len(plans))
        if self.worker_config.scheduler is None and workers <= 1:
            yield from (plan.write(folder) for plan in plans)
            return
        from distributed import KilledWorker, as_completed

        with _dask_client(self.worker_config.scheduler, workers) as client:
            # One by one: all plans in one message would be too long at the size of MSCOCO.
            futures = [client.submit(ShardPlan.write, plan, folder, pure=False) for plan in plans]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except KilledWorker as error:
                raise UserError(
                    f"Dask workers died again and again on a shard of split '{self.split}' ({error.last_worker}); "
                    "they may lack memory: set materialize.workers lower; what is finished will be kept"
                ) from error


def _dask_client(scheduler: str | None, workers: int) -> contextlib.AbstractContextManager[Any]:
    """A client of the scheduler at that address, or of a cluster of local processes without one."""
    return scheduler_client(scheduler, "materialize.scheduler") if scheduler else local_client(workers)


def _with_progress(entries: Iterator[dict[str, Any]], total: int, split: str) -> Iterator[dict[str, Any]]:
    """``entries`` with a progress bar on a terminal."""
    from tqdm import tqdm

    yield from tqdm(entries, total=total, desc=f"crops of {split}", unit="shard", disable=None)


def _remove_all_but(folder: UPath, names: set[str]) -> None:
    for stale in list(folder.iterdir()):
        if stale.name not in names and stale.is_file():
            stale.unlink()


def _worthwhile_workers(plans: list[ShardPlan]) -> int:
    """One worker a processor, but fewer where starting a process takes longer than what it would do."""
    images = sum(len(plan.images) for plan in plans)
    crops_per_image = plans[0].layout.crops_per_image if plans else 0
    seconds = images * (_SECONDS_AN_IMAGE + crops_per_image * _SECONDS_A_CROP)
    return min(cpu_count(), int(seconds / _WORTH_A_WORKER) + 1)


def cpu_count() -> int:
    """Processors this process may use, with the limits of containers."""
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)
