"""Crop shards as a Kedro dataset."""

import hashlib
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from sr_pipeline.crops.shards import INDEX, CropShards
from sr_pipeline.crops.writing import CropPlan
from sr_pipeline.storage import UPath, atomic_write, is_local, local_path, locate


class CropShardsDataset(AbstractDataset[CropPlan, CropShards]):
    """Saves a plan by executing it, shard by shard, so that crops never accumulate in memory; loads a reader.

    Args:
        filepath: the folder of the shards and their ``index.json``: a path, or an fsspec address such as
            ``s3://bucket/crops/train``.
        cache: local folder that shards are copied to for reading if ``filepath`` is an address; training reads
            at random, which is slow on object storage.
        metadata: for Kedro plugins.
    """

    def __init__(
        self, *, filepath: str, cache: str = "data/.scratch/crops", metadata: dict[str, Any] | None = None
    ) -> None:
        self._folder = filepath
        self._cache = Path(cache)
        self.metadata = metadata

    def save(self, data: CropPlan) -> None:
        """Write the shards and their index."""
        data.write(self._folder)

    def load(self) -> CropShards:
        """Open the shards."""
        folder = locate(self._folder)
        return CropShards(local_path(folder) if is_local(folder) else _copy(folder, self._cache))

    def _exists(self) -> bool:
        return bool((locate(self._folder) / INDEX).is_file())

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._folder}


def _copy(remote: UPath, cache: Path) -> Path:
    """Copy missing shards to this machine, the index last; equal indices share a copy."""
    if not (remote / INDEX).is_file():
        return Path(str(remote))  # CropShards reports it
    index = (remote / INDEX).read_bytes()
    folder = cache / hashlib.sha256(index).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / INDEX).is_file():
        for shard in remote.iterdir():
            if shard.name != INDEX and not (folder / shard.name).is_file():
                with atomic_write(folder / shard.name) as partial:
                    shard.fs.get_file(shard.path, str(partial))
        with atomic_write(folder / INDEX) as partial:
            partial.write_bytes(index)
    return folder
