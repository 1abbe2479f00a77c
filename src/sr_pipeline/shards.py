"""Crop shards: ArrayRecord files of (high, low)-resolution crop pairs, described by an ``index.json``.

A record is the raw 8-bit RGB of the HR crop followed by that of the LR crop, both row by row. The index
says how large they are, how many each shard holds, from which parameters they came, and their SHA-256.

A shard is written whole or not at all, and beside it a small file that says from what. The index comes last
and replaces those files: an interrupted run leaves shards that the next one recognizes and keeps.
"""

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sr_pipeline.errors import UserError
from sr_pipeline.imaging import crops, decode, resample
from sr_pipeline.imaging.crops import crop_corners, cut_pairs
from sr_pipeline.imaging.decode import UnusablePictureError, decode_rgb
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.storage import UPath, is_local, local_path, locate, read_bytes, write_text, written_whole
from sr_pipeline.systems import CROPS, require

log = logging.getLogger(__name__)

INDEX = "index.json"
RECORD = "HR crop, then LR crop: 8-bit RGB, row by row"
# Rough times of one core, to tell small work from large.
_SECONDS_AN_IMAGE, _SECONDS_A_CROP, _WORTH_A_WORKER = 4e-3, 0.15e-3, 5.0
_PATIENCE = 120  # seconds until a cluster must have a worker
_FINISHED = ".finished.json"
# One record a chunk, for random access; not compressed: crops of photographs shrink little, and
# reading them back would cost more than the disk saved.
_WRITER_OPTIONS = "group_size:1,uncompressed"


@dataclass(frozen=True)
class CropLayout:
    """What is cut: parameters that decide the content of the records."""

    seed: int
    crop_size: int
    crops_per_image: int
    scale: int
    min_contrast: float = 0

    @property
    def lr_size(self) -> int:
        """Edge of the low-resolution crop in pixels."""
        return self.crop_size // self.scale

    @property
    def record_bytes(self) -> int:
        """Length of one record."""
        return 3 * (self.crop_size**2 + self.lr_size**2)


class SourceImage(NamedTuple):
    """A photograph to cut crops from; its hash makes sure that it is still the one that ingest saw."""

    id: int
    file: str
    sha256: str


@dataclass(frozen=True)
class ShardPlan:
    """One shard to write: which crops of which photographs, into a file of which name."""

    file: str
    images: tuple[SourceImage, ...]
    layout: CropLayout

    def write(self, folder: UPath) -> dict[str, Any]:
        """Write the shard into ``folder`` and return its index entry.

        The same plan always gives the same bytes. The entry has ``file``, ``images`` and ``count`` (of crops),
        ``bytes`` and ``sha256``.

        Raises:
            UserError: if a photograph is gone or no longer what ingest saw, or this system has no ArrayRecord.
        """
        require(*CROPS)
        from array_record.python.array_record_module import ArrayRecordWriter

        count = 0
        with written_whole(folder / self.file) as partial:
            writer = ArrayRecordWriter(str(partial), _WRITER_OPTIONS)
            try:
                for record in self._records():
                    writer.write(record)
                    count += 1
            finally:
                writer.close()
            entry = {
                "file": self.file,
                "images": len(self.images),
                "count": count,
                "bytes": partial.stat().st_size,
                "sha256": _sha256(partial),
            }
        write_text(folder / (self.file + _FINISHED), json.dumps({"plan": self.digest, "entry": entry}))
        return entry

    def finished(self, folder: UPath) -> dict[str, Any] | None:
        """The index entry of this very shard if an interrupted run left it whole, otherwise None."""
        try:
            note = json.loads((folder / (self.file + _FINISHED)).read_text(encoding="utf-8"))
            entry: dict[str, Any] = note["entry"]
            shard = folder / self.file
            intact = shard.stat().st_size == entry["bytes"]
            if is_local(shard):  # reading back from object storage would cost more than writing again
                intact = intact and _sha256(local_path(shard)) == entry["sha256"]
        except (OSError, ValueError, KeyError):
            return None
        return entry if intact and note["plan"] == self.digest else None

    @cached_property
    def digest(self) -> str:
        """Hash of all that decides the shard's bytes: photographs, layout, code and libraries."""
        images = [(image.id, image.sha256) for image in self.images]
        return hashlib.sha256(json.dumps([_code_digest(), asdict(self.layout), images]).encode()).hexdigest()

    def _records(self) -> Iterator[bytes]:
        layout = self.layout
        for image in self.images:
            picture = _open_unchanged(image)
            shape = (picture.height, picture.width)
            corners = crop_corners(layout.seed, image.id, layout.crops_per_image, shape, layout.crop_size)
            for hr, lr in cut_pairs(picture, corners, layout.crop_size, layout.scale, layout.min_contrast):
                yield hr.tobytes() + lr.tobytes()


@dataclass(frozen=True)
class Workforce:
    """Who writes shards: so many processes of this machine (None: what pays), or the workers of a Dask scheduler."""

    workers: int | None = None
    scheduler: str | None = None


@dataclass(frozen=True)
class CropPlan:
    """All shards of one split, and who writes them."""

    split: str
    shards: tuple[ShardPlan, ...]
    layout: CropLayout
    workforce: Workforce = field(default_factory=Workforce)

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
        """Index entries as shards get ready, in whatever order."""
        workers = min(self.workforce.workers or _worthwhile_workers(plans), len(plans))
        if self.workforce.scheduler is None and workers <= 1:
            yield from (plan.write(folder) for plan in plans)
            return
        from distributed import KilledWorker, as_completed

        with _dask_client(self.workforce.scheduler, workers) as client:
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


@contextlib.contextmanager
def _dask_client(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A client of the scheduler at that address, or of a cluster of local processes without one."""
    import dask.config
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.WARNING)
    if scheduler is None:
        # Workers report by their results; what else they log is about connections that end with the cluster.
        environment = dask.config.get("distributed.nanny.pre-spawn-environ")
        quiet = {"distributed.nanny.pre-spawn-environ": environment | {"DASK_LOGGING__DISTRIBUTED": "critical"}}
        with (
            dask.config.set(quiet),
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0") as cluster,
            Client(cluster) as client,
        ):
            yield client
        return
    try:
        client = Client(scheduler)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Dask scheduler answers at materialize.scheduler={scheduler} ({error}); start it, "
            "or set materialize.scheduler=null to work on this machine"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise UserError(
                f"the Dask scheduler at {scheduler} has had no worker for {_PATIENCE} s; "
                f"start one: dask worker {scheduler}"
            ) from error
        yield client


class CropShards:
    """Random access to the crop pairs of one folder of shards.

    Opening reads the index alone, so it takes as long for a million crops as for ten.

    Raises:
        UserError: if the folder has no index, or a shard is missing or not as long as the index says.
    """

    def __init__(self, folder: Path) -> None:
        index = folder / INDEX
        if not index.is_file():
            raise UserError(
                f"there are no finished crops in {folder}; make them with kedro run --pipelines=materialize"
            )
        self.folder = folder
        self.index: dict[str, Any] = json.loads(index.read_text(encoding="utf-8"))
        self.layout = CropLayout(**self.index["layout"])
        for shard in self.index["shards"]:
            path = folder / shard["file"]
            if not path.is_file():
                raise UserError(f"crop shard {path} is missing; make it again with kedro run --pipelines=materialize")
            if path.stat().st_size != shard["bytes"]:
                raise UserError(
                    f"crop shard {path} has {path.stat().st_size} bytes where {INDEX} says {shard['bytes']}; "
                    "make it again with kedro run --pipelines=materialize"
                )

    def __len__(self) -> int:
        return int(self.index["count"])

    @cached_property
    def records(self) -> Any:
        """The records as a Grain data source: ``records[i]`` is the bytes of pair i."""
        from grain.sources import ArrayRecordDataSource

        return ArrayRecordDataSource([_WholeShard.of(self.folder, shard) for shard in self.index["shards"]])

    @property
    def sha256(self) -> str:
        """One hash of all crops: the hash of the shards' hashes."""
        return hashlib.sha256("".join(shard["sha256"] for shard in self.index["shards"]).encode()).hexdigest()

    def decode(self, record: bytes) -> tuple[RgbImage, RgbImage]:
        """Split a record into its HR crop (s, s, 3) and LR crop (s/scale, s/scale, 3), uint8."""
        layout = self.layout
        pixels = np.frombuffer(record, np.uint8)
        hr_bytes = 3 * layout.crop_size**2
        hr = pixels[:hr_bytes].reshape(layout.crop_size, layout.crop_size, 3)
        lr = pixels[hr_bytes:].reshape(layout.lr_size, layout.lr_size, 3)
        return hr, lr

    def __getitem__(self, number: int) -> tuple[RgbImage, RgbImage]:
        return self.decode(self.records[number])


@dataclass(frozen=True)
class _WholeShard:
    """What array_record calls a file instruction: given the count, it need not open the file to learn it."""

    filename: str
    examples_in_shard: int
    take: int
    skip: int = 0

    @classmethod
    def of(cls, folder: Path, entry: dict[str, Any]) -> "_WholeShard":
        return cls(str(folder / entry["file"]), entry["count"], entry["count"])


def _open_unchanged(image: SourceImage) -> Any:
    """The picture of ``image``, if the file is there and the one that ingest saw."""
    try:
        content = read_bytes(image.file)
        if hashlib.sha256(content).hexdigest() == image.sha256:
            return decode_rgb(content, max_pixels=2**40).picture  # ingest has judged its size
        problem = "has changed since ingest"
    except (OSError, UnusablePictureError) as error:
        problem = f"can no longer be read ({error})"
    raise UserError(f"photograph {image.file} {problem}; run kedro run --pipelines=ingest again")


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


@cache
def _code_digest() -> str:
    """Hash of the code and the library versions that decide what a shard holds."""
    digest = hashlib.sha256()
    for file in (__file__, crops.__file__, decode.__file__, resample.__file__):
        digest.update(Path(file).read_bytes())
    for package in ("array_record", "numpy", "pillow"):
        digest.update(f"{package} {metadata.version(package)}".encode())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
