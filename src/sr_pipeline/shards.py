"""Crop shards: ArrayRecord files of (high, low)-resolution crop pairs, described by an ``index.json``.

A record is the raw 8-bit RGB of the HR crop followed by that of the LR crop, both row by row. The index
says how large they are, how many each shard holds, from which parameters they came, and their SHA-256.
"""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.crops import crop_corners, cut_pairs
from sr_pipeline.imaging.decode import read_rgb
from sr_pipeline.imaging.types import RgbImage

log = logging.getLogger(__name__)

INDEX = "index.json"
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

    @property
    def lr_size(self) -> int:
        """Edge of the low-resolution crop in pixels."""
        return self.crop_size // self.scale

    @property
    def record_bytes(self) -> int:
        """Length of one record."""
        return 3 * (self.crop_size**2 + self.lr_size**2)


class SourceImage(NamedTuple):
    """A photograph to cut crops from."""

    id: int
    file: str


@dataclass(frozen=True)
class ShardPlan:
    """One shard to write: which crops of which photographs, into a file of which name."""

    file: str
    images: tuple[SourceImage, ...]
    layout: CropLayout

    def write(self, folder: Path) -> dict[str, Any]:
        """Write the shard into ``folder`` and return its index entry ``{"file", "count", "sha256"}``.

        The file appears whole or not at all; the same plan always gives the same bytes.
        """
        from array_record.python.array_record_module import ArrayRecordWriter

        target = folder / self.file
        partial = target.with_name(target.name + ".partial")
        count = 0
        writer = ArrayRecordWriter(str(partial), _WRITER_OPTIONS)
        for record in self._records():
            writer.write(record)
            count += 1
        writer.close()
        digest = _sha256(partial)
        os.replace(partial, target)
        return {"file": self.file, "count": count, "sha256": digest}

    def _records(self) -> Iterator[bytes]:
        layout = self.layout
        for image in self.images:
            pixels = read_rgb(Path(image.file))
            corners = crop_corners(
                layout.seed, image.id, layout.crops_per_image, (pixels.shape[0], pixels.shape[1]), layout.crop_size
            )
            for hr, lr in cut_pairs(pixels, corners, layout.crop_size, layout.scale):
                yield hr.tobytes() + lr.tobytes()


@dataclass(frozen=True)
class CropPlan:
    """All shards of one split, and who writes them."""

    shards: tuple[ShardPlan, ...]
    layout: CropLayout
    workers: int = 1
    scheduler: str | None = None

    def write(self, folder: Path) -> None:
        """Write all shards, then the index, and remove shards of an earlier plan from ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / INDEX).unlink(missing_ok=True)  # a folder without index is an unfinished one
        entries = self._write_shards(folder)
        index = {"layout": self.layout.__dict__, "count": sum(e["count"] for e in entries), "shards": entries}
        partial = folder / f"{INDEX}.partial"
        partial.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, folder / INDEX)
        expected = {INDEX, *(entry["file"] for entry in entries)}
        for stale in folder.iterdir():
            if stale.name not in expected:
                stale.unlink()

    def _write_shards(self, folder: Path) -> list[dict[str, Any]]:
        if self.scheduler is None and self.workers == 1:
            return [shard.write(folder) for shard in self.shards]
        from distributed import Client, LocalCluster

        with contextlib.ExitStack() as stack:
            address: Any = self.scheduler
            if address is None:
                address = stack.enter_context(
                    LocalCluster(n_workers=self.workers, threads_per_worker=1, dashboard_address=None)
                )
            client = stack.enter_context(Client(address))
            futures = client.map(ShardPlan.write, self.shards, folder=folder.absolute(), pure=False)
            return list(client.gather(futures))


class CropShards:
    """Random access to the crop pairs of one folder of shards.

    Raises:
        UserError: if the folder has no index, or a shard is missing or shorter than the index says.
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

    def __len__(self) -> int:
        return int(self.index["count"])

    @cached_property
    def records(self) -> Any:
        """The records as a Grain data source: ``records[i]`` is the bytes of pair i."""
        from grain.sources import ArrayRecordDataSource

        files = [str(self.folder / shard["file"]) for shard in self.index["shards"]]
        source = ArrayRecordDataSource(files)
        if len(source) != len(self):
            raise UserError(
                f"the shards in {self.folder} hold {len(source)} crops where {INDEX} says {len(self)}; "
                "make them again with kedro run --pipelines=materialize"
            )
        return source

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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
