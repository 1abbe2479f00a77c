"""Crop shards as a Kedro dataset."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from sr_pipeline.shards import INDEX, CropPlan, CropShards


class CropShardsDataset(AbstractDataset[CropPlan, CropShards]):
    """Saves a plan by carrying it out, shard by shard, so that crops never gather in memory; loads a reader.

    Args:
        filepath: the folder of the shards and their ``index.json``.
        metadata: for Kedro plugins.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: CropPlan) -> None:
        """Write the shards and their index."""
        data.write(self._filepath)

    def load(self) -> CropShards:
        """Open the shards."""
        return CropShards(self._filepath)

    def _exists(self) -> bool:
        return (self._filepath / INDEX).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
