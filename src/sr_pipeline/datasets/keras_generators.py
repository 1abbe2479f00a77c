"""Trained generators as a Kedro dataset."""

import json
import os
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from sr_pipeline.errors import UserError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip archive can state


class KerasGeneratorsDataset(AbstractDataset[dict[str, Any], dict[str, Any]]):
    """Generators by name, each in a file of its own.

    Saving equal models gives equal bytes, and leaves none of an earlier training behind.

    Args:
        filepath: the folder of the files.
        files: their names by the generators'; the first is always there, others only where the recipe makes them.
        metadata: for Kedro plugins.
    """

    def __init__(self, *, filepath: str, files: dict[str, str], metadata: dict[str, Any] | None = None) -> None:
        self._folder = Path(filepath)
        self._files = files
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Save each model whole or not at all, then remove those that ``data`` does not have."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, model in data.items():
            save_keras_model(model, self._folder / self._files[name])
        for name in self._files.keys() - data.keys():
            (self._folder / self._files[name]).unlink(missing_ok=True)

    def load(self) -> dict[str, Any]:
        """Load what is there as Keras models in float32.

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
    import keras

    if not Path(path).is_file():
        raise UserError(f"there is no model file {path}")
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} is no Keras model ({reason}); train again, or name another file") from error


def save_keras_model(model: Any, path: Path) -> None:
    """Save ``model`` as ``path`` so that equal models give equal bytes.

    Keras stamps the date into the archive's metadata and its members, and identifies shared objects in the
    configuration by their addresses in memory: a fixed date and numbers in order of appearance replace them.
    """
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as scratch:
        stamped, steady = Path(scratch) / "stamped.keras", Path(scratch) / "steady.keras"
        model.save(stamped)
        with zipfile.ZipFile(stamped) as source, zipfile.ZipFile(steady, "w") as target:
            for name in sorted(source.namelist()):
                content = source.read(name)
                if name == "config.json":
                    content = _number_shared_objects(content)
                elif name == "metadata.json":
                    content = json.dumps({**json.loads(content), "date_saved": "1980-01-01@00:00:00"}).encode()
                target.writestr(zipfile.ZipInfo(name, _EPOCH), content)
        os.replace(steady, path)


def _number_shared_objects(config: bytes) -> bytes:
    numbers: dict[bytes, int] = {}

    def number(match: re.Match[bytes]) -> bytes:
        return match[1] + str(numbers.setdefault(match[2], len(numbers) + 1)).encode()

    return re.sub(rb'("shared_object_id": )(\d+)', number, config)
