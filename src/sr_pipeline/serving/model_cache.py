"""The models that the page offers."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sr_pipeline.errors import UserError
from sr_pipeline.inference.models import open_model
from sr_pipeline.packaged import PACKAGED
from sr_pipeline.tracking.model_names import registered_labels, resolve_model

if TYPE_CHECKING:
    from sr_pipeline.inference.enlargement import Upscale


class ModelCache:
    """The models that the page offers; those last used stay open.

    Args:
        first: the one that is offered first.
    """

    def __init__(self, first: str) -> None:
        self._first = first
        self._open = lru_cache(maxsize=2)(lambda name: open_model(resolve_model(name)))

    def listed(self) -> list[dict[str, str]]:
        """``name`` and ``label`` of each."""
        labels = {name: f"{name}: {packaged.title}" for name, packaged in PACKAGED.items()} | registered_labels()
        first = {self._first: labels.get(self._first, Path(self._first).name)}
        return [{"name": name, "label": label} for name, label in (first | labels).items()]

    def open(self, name: str) -> "Upscale":
        """The model of that name, one that is listed.

        Raises:
            UserError: if there is none.
        """
        name = name or self._first
        if name not in {known["name"] for known in self.listed()}:  # or any file of this machine could be named
            raise UserError("The page does not offer that model; load it again.")
        return self._open(name)
