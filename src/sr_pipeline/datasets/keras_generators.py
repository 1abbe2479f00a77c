"""Trained generators as a Kedro dataset."""

import io
import json
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import AbstractDataset

from sr_pipeline.errors import UserError
from sr_pipeline.networks.start import start_tensorflow

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip archive can state


class KerasGeneratorsDataset(AbstractDataset[dict[str, Any], dict[str, Any]]):
    """Generators by name, each in its own file.

    Saving equal models gives equal bytes, and removes files of an earlier training.

    Args:
        filepath: the folder of the files.
        files: file names keyed by generator; the first always exists, others only if the recipe makes them.
        metadata: for Kedro plugins.
    """

    def __init__(self, *, filepath: str, files: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(filepath)
        self._files = files
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Save each model completely or not at all, then remove those that ``data`` does not have."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, model in data.items():
            save_keras_model(model, self._folder / self._files[name])
        for name in self._files.keys() - data.keys():
            (self._folder / self._files[name]).unlink(missing_ok=True)

    def load(self) -> dict[str, Any]:
        """Load the existing files as Keras models in float32.

        Raises:
            UserError: if there is no generator, or a file is not one.
        """
        if not self._exists():
            raise UserError(
                f"there is no trained generator at {self._folder / next(iter(self._files.values()))}; "
                "make one with kedro run --pipelines=train"
            )
        models = {}
        for name, file in self._files.items():
            path = self._folder / file
            if path.is_file():
                models[name] = load_keras_model(path)
        return models

    def _exists(self) -> bool:
        return (self._folder / next(iter(self._files.values()))).is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder)}


def load_keras_model(path: str | Path) -> Any:
    """Load a ``.keras`` file in float32; nothing in it is executed.

    Raises:
        UserError: if there is none, or it is something else.
    """
    start_tensorflow()
    import keras

    with _reading(Path(path)):
        return keras.saving.load_model(path, compile=False)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Tell in one line of a file that is not there, or that the block finds to be no Keras model."""
    if not path.is_file():
        raise UserError(f"there is no model file {path}")
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is not a Keras model ({reason}); train again, or name another file") from error


def save_keras_model(model: Any, path: Path) -> None:
    """Save ``model`` as ``path`` so that equal models give equal bytes.

    Keras writes the date into the archive's metadata and members, and identifies shared objects in the
    configuration by their memory addresses. A fixed date, and numbers in order of appearance, replace them.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as scratch:
        stamped, steady = Path(scratch) / "stamped.keras", Path(scratch) / "steady.keras"
        model.save(stamped)
        members = _read_members(stamped)
        members["config.json"] = _number_shared_objects(members["config.json"])
        dated = {**json.loads(members["metadata.json"]), "date_saved": "1980-01-01@00:00:00"}
        members["metadata.json"] = json.dumps(dated).encode()
        _write_members(steady, members)
        os.replace(steady, path)


def save_halved(source: Path, target: Path) -> None:
    """Write a ``.keras`` file with the weights of another in 16 bits: half the size, and opened like any other.

    Keras converts the weights to the type of its layers, float32, so only rounding is lost: each weight keeps 11
    bits, and fewer below 6e-5.

    Raises:
        UserError: if ``source`` is not a Keras file, or has weights too large for 16 bits.
    """
    import h5py

    halved = io.BytesIO()
    try:
        with _reading(source):
            members = _read_members(source)
            with h5py.File(io.BytesIO(members["model.weights.h5"])) as full, h5py.File(halved, "w") as half:
                _copy_halved(full, half)
    except OverflowError as error:
        raise UserError(f"{source} has weights in {error} that are too large for 16 bits; keep the file") from error
    _write_members(target, members | {"model.weights.h5": halved.getvalue()})


def _copy_halved(source: Any, target: Any) -> None:
    """Copy an HDF5 group and everything below it."""
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if hasattr(item, "keys"):
            _copy_halved(item, target.create_group(name))
            continue
        values = item[()]
        if np.issubdtype(values.dtype, np.floating):
            if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
                raise OverflowError(item.name)
            values = values.astype(np.float16)
        target.create_dataset(name, data=values).attrs.update(item.attrs)


def _read_members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write_members(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name])


def _number_shared_objects(config: bytes) -> bytes:
    numbers: dict[bytes, int] = {}

    def number(match: re.Match[bytes]) -> bytes:
        return match[1] + str(numbers.setdefault(match[2], len(numbers) + 1)).encode()

    return re.sub(rb'("shared_object_id": )(\d+)', number, config)
