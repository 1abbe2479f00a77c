"""Crop shards: ArrayRecord files of (high, low)-resolution crop pairs, described by an ``index.json``.

A record is the raw 8-bit RGB of the HR crop followed by that of the LR crop, both row by row. The index
states their size, how many each shard holds, the parameters they were made with, and the shards' SHA-256.

A shard is written completely or not at all, beside a small file that says what it was made from. The index comes
last and replaces those files, so an interrupted run leaves shards that the next one recognizes and keeps.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sr_pipeline.code_identity import code_sha256
from sr_pipeline.crops.layout import CropLayout, crop_corners, cut_pairs
from sr_pipeline.errors import UserError
from sr_pipeline.hashing import file_sha256
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.installation import CROPS, require
from sr_pipeline.pictures.photographs import UnusablePictureError, decode_rgb
from sr_pipeline.storage import UPath, atomic_write, is_local, local_path, read_bytes, write_text

INDEX = "index.json"

RECORD = "HR crop, then LR crop: 8-bit RGB, row by row"

_FINISHED = ".finished.json"

# One record a chunk, for random access; not compressed: crops of photographs shrink little, and
# reading them back would cost more than the disk saved.
_WRITER_OPTIONS = "group_size:1,uncompressed"


class SourceImage(NamedTuple):
    """A photograph to cut crops from; its hash ensures that it is still the one that ingest saw."""

    id: int
    file: str
    sha256: str


@dataclass(frozen=True)
class ShardPlan:
    """One shard to write: which crops of which photographs, and the name of its file."""

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
        with atomic_write(folder / self.file) as partial:
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
                "sha256": file_sha256(partial),
            }
        write_text(folder / (self.file + _FINISHED), json.dumps({"plan": self.digest, "entry": entry}))
        return entry

    def finished(self, folder: UPath) -> dict[str, Any] | None:
        """The index entry of this same shard if an interrupted run left it complete, otherwise None."""
        try:
            note = json.loads((folder / (self.file + _FINISHED)).read_text(encoding="utf-8"))
            entry: dict[str, Any] = note["entry"]
            shard = folder / self.file
            intact = shard.stat().st_size == entry["bytes"]
            if is_local(shard):  # reading back from object storage would cost more than writing again
                intact = intact and file_sha256(local_path(shard)) == entry["sha256"]
        except (OSError, ValueError, KeyError):
            return None
        return entry if intact and note["plan"] == self.digest else None

    @cached_property
    def digest(self) -> str:
        """Hash of everything that decides the shard's bytes: photographs, layout, code and libraries."""
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


class CropShards:
    """Random access to the crop pairs of one folder of shards.

    Opening reads only the index, so it takes as long for a million crops as for ten.

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
            return decode_rgb(content, max_pixels=2**40).picture  # ingest has checked its size
        problem = "has changed since ingest"
    except (OSError, UnusablePictureError) as error:
        problem = f"can no longer be read ({error})"
    raise UserError(f"photograph {image.file} {problem}; run kedro run --pipelines=ingest again")


@cache
def _code_digest() -> str:
    """Hash of the code and the library versions that decide what a shard holds."""
    digest = hashlib.sha256()
    digest.update(code_sha256(__name__).encode())
    for package in ("array_record", "numpy", "pillow"):
        digest.update(f"{package} {metadata.version(package)}".encode())
    return digest.hexdigest()
