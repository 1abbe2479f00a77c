"""The generators that pictures can be enlarged with, by name."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sr_pipeline.errors import UserError
from sr_pipeline.packaged import PACKAGED, packaged_file
from sr_pipeline.start_up import no_start_up_lines

if TYPE_CHECKING:
    from sr_pipeline.serving.enlargement import Upscale
    from sr_pipeline.serving.folding import FoldedGenerator

REGISTERED = "sr-generator"
"""Name of the registered model whose aliases and versions are meant."""

DEFAULT = "perceptual"


def open_model(name: str, engine: str = "auto", tile: int | None = None) -> "Upscale":
    """A generator, ready to enlarge.

    Args:
        name: of a generator of this package (``PACKAGED``); a ``.keras`` file; an alias or a version of the registered
            model, such as ``champion`` or ``3``; or any registered model as ``models:/…``.
        engine: what computes: see ``upscaler.ENGINES``.
        tile: edge in pixels of what is computed at once; None: what is fastest here.

    Raises:
        UserError: if there is no such model, or the engine cannot be had.
    """
    from sr_pipeline.serving.upscaler import Upscaler, choose_engine

    generator = find_model(name)
    with no_start_up_lines():
        return Upscaler(choose_engine(generator, engine), tile)


def find_model(name: str) -> "FoldedGenerator":
    """The weights of a generator; ``name`` as of ``open_model``.

    Raises:
        UserError: if there is no such model.
    """
    from sr_pipeline.serving.folding import read_folded

    return read_folded(model_file(name))


def model_file(name: str) -> Path:
    """The ``.keras`` file of a generator; ``name`` as of ``open_model``.

    Raises:
        UserError: if there is no such model.
    """
    if name in PACKAGED:
        return packaged_file(name)
    return Path(name) if _is_file(name) else _registered_file(name)


def _is_file(name: str) -> bool:
    return name.endswith(".keras") or (Path(name).is_file() and not name.startswith("models:/"))


def _registered_file(name: str) -> Path:
    from sr_pipeline.registry import registered_generator_file
    from sr_pipeline.tracking import open_store

    try:
        open_store()
    except UserError as error:
        raise UserError(
            f"--model {name} is looked up in the MLflow registry, but {error}; or name a "
            f"generator of this package ({', '.join(PACKAGED)}) or a .keras file"
        ) from error
    return registered_generator_file(name if name.startswith("models:/") else _uri(name))


def _uri(name: str) -> str:
    return f"models:/{REGISTERED}/{name}" if name.isdigit() else f"models:/{REGISTERED}@{name}"


class ModelShelf:
    """The models that the page offers; those last used stay open.

    Args:
        first: the one that is offered first.
    """

    def __init__(self, first: str) -> None:
        self._first = first
        self._open = lru_cache(maxsize=2)(open_model)

    def listed(self) -> list[dict[str, str]]:
        """``name`` and ``label`` of each."""
        labels = {name: f"{name}: {packaged.title}" for name, packaged in PACKAGED.items()} | _registered_versions()
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


def _registered_versions() -> dict[str, str]:
    """Labels of aliases and versions, by name, the newest version first; none without a store, or without MLflow."""
    try:
        from sr_pipeline.tracking import open_store

        client = open_store()
    except (UserError, ModuleNotFoundError):
        return {}
    found = sorted(client.search_model_versions(f"name = '{REGISTERED}'"), key=lambda version: -int(version.version))
    labels = {}
    aliases: dict[str, Any] = client.get_registered_model(REGISTERED).aliases if found else {}
    for alias, number in aliases.items():
        labels[alias] = f"{REGISTERED}, {alias} (version {number})"
    for version in found:
        if version.version not in {str(number) for number in aliases.values()}:
            labels[str(version.version)] = f"{REGISTERED}, version {version.version}"
    return labels
