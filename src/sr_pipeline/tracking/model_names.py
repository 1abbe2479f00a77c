"""From the name of a model, as commands take it, to its file."""

from pathlib import Path
from typing import Any

from sr_pipeline.errors import UserError
from sr_pipeline.inference.models import is_registered_name
from sr_pipeline.packaged import PACKAGED

REGISTERED = "sr-generator"
"""Name of the registered model whose aliases and versions are meant."""


def resolve_model(name: str) -> str:
    """``name`` if it is a packaged generator or a file; else the file of a registered model, fetched if need be.

    Args:
        name: of a packaged generator (``PACKAGED``); a ``.keras`` file; an alias or a version of the registered model,
            such as ``champion`` or ``3``; or any registered model as ``models:/…``.

    Raises:
        UserError: if there is no such model.
    """
    return str(_registered_file(name)) if is_registered_name(name) else name


def registered_labels() -> dict[str, str]:
    """Labels of aliases and versions by name, the newest version first; none without a store, or without MLflow."""
    try:
        from sr_pipeline.tracking.store import open_store

        client = open_store()
    except (UserError, ModuleNotFoundError):
        return {}
    found = sorted(client.search_model_versions(f"name = '{REGISTERED}'"), key=lambda version: -int(version.version))
    labels = {}
    aliases: dict[str, Any] = client.get_registered_model(REGISTERED).aliases if found else {}
    for alias, number in aliases.items():
        labels[alias] = f"{REGISTERED}, {alias} (version {number})"
    for version in found:
        if str(version.version) not in {str(number) for number in aliases.values()}:
            labels[str(version.version)] = f"{REGISTERED}, version {version.version}"
    return labels


def _registered_file(name: str) -> Path:
    from sr_pipeline.tracking.registry import registered_generator_file
    from sr_pipeline.tracking.store import open_store

    try:
        open_store()
    except UserError as error:
        raise UserError(
            f"model {name} is looked up in the MLflow registry, but {error}; or name a "
            f"generator of this package ({', '.join(PACKAGED)}) or a .keras file"
        ) from error
    return registered_generator_file(name if name.startswith("models:/") else _uri(name))


def _uri(name: str) -> str:
    return f"models:/{REGISTERED}/{name}" if name.isdigit() else f"models:/{REGISTERED}@{name}"
