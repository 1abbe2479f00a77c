"""What nodes report to the MLflow run of this process while they work.

Messages go through an outbox: neither a slow store nor one that is down delays the work.
"""

import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sr_pipeline.tracking.outbox import Message, Outbox
from sr_pipeline.tracking.sending import DataSet, MlflowSender

if TYPE_CHECKING:
    from PIL import Image


UNSENT = Path("data/.scratch/unsent")
"""Relative to the project folder: messages not sent yet."""


class _Connection(NamedTuple):
    """To the run that this process reports to."""

    run: str
    outbox: Outbox
    scratch: "tempfile.TemporaryDirectory[str]"  # files on their way


_connection: _Connection | None = None


def connect(run: str) -> None:
    """Let what is reported from now on go to the run of this id, after what an earlier process could not send."""
    global _connection  # noqa: PLW0603  (MLflow's own active run is one per process, too)
    _connection = _Connection(run, Outbox(MlflowSender(), UNSENT), tempfile.TemporaryDirectory())


def disconnect(status: str, error: str | None = None) -> int | None:
    """Report that the run has ended, and send everything.

    Args:
        status: ``FINISHED``, ``FAILED`` or ``KILLED``.
        error: a tag of that name.

    Returns:
        The number of messages that could not be sent and are kept for a later start; None if there was no run.
    """
    global _connection
    if _connection is None:
        return None
    closing, _connection = _connection, None
    if error is not None:
        closing.outbox.put(Message(closing.run, "tags", {"tags": {"error": error}}))
    closing.outbox.put(Message(closing.run, "end", {"status": status, "time": _now()}))
    kept = closing.outbox.close()
    closing.scratch.cleanup()
    return kept


def connected_run() -> str | None:
    """The id of the run that this process reports to."""
    return _connection and _connection.run


def log_training_progress(metrics: dict[str, float], step: int, picture: "Image.Image | None" = None) -> None:
    """Log what a training step reports to the run, below ``train/``; without a run, do nothing.

    A step that the run has already stays as it was reported first.

    ``picture`` joins the series ``validation``, which the MLflow UI shows step by step.
    """
    if _connection is None:
        return
    named = {f"train/{name}": value for name, value in metrics.items()}
    _connection.outbox.put(Message(_connection.run, "steps", {"metrics": named, "step": step, "time": _now()}))
    if picture is not None:
        file = Path(_connection.scratch.name) / f"{step}.png"
        picture.save(file)
        content = {"key": "validation", "step": step, "time": _now()}
        _connection.outbox.put(Message(_connection.run, "picture", content, str(file)))


def log_final_metrics(metrics: Mapping[str, Any], evaluation: Mapping[str, Any], model_id: str | None = None) -> None:
    """Log what an evaluation measured, and on which pictures, under names like ``val/srgan/psnr_y``.

    Without a run, do nothing.

    Args:
        metrics: ``{set: {method: {metric: value}}}``.
        evaluation: what the figures depend on.
        model_id: of the logged model that the figures belong to, if there is one yet.
    """
    if _connection is None:
        return
    data_sets = {name: DataSet(name, facts["sha256"], name, "evaluation") for name, facts in evaluation["sets"].items()}
    log_data_sets(list(data_sets.values()))
    for name, values in metrics.items():
        content = {
            "metrics": flatten({name: values}, separator="/"),
            "step": 0,
            "time": _now(),
            "model": model_id,
            "data_set": data_sets[name].name,
            "digest": data_sets[name].digest,
        }
        _connection.outbox.put(Message(_connection.run, "metrics", content))


def log_data_sets(data_sets: list[DataSet]) -> None:
    """Log what data the run uses; without a run, do nothing."""
    if _connection is not None:
        for data_set in data_sets:
            _connection.outbox.put(Message(_connection.run, "data set", data_set._asdict()))


def log_folder(path: Path) -> None:
    """Attach all files of a folder to the run, named after their way in it: ``val/errors.png`` as ``val_errors.png``.

    They lie at the top, because only there the MLflow UI shows files of several runs side by side. Without a run, do
    nothing.
    """
    for file in sorted(path.rglob("*")):
        if file.is_file():
            log_file(file, "_".join(file.relative_to(path).parts))


def log_file(path: Path, name: str | None = None) -> None:
    """Attach a file to the run, under another name if one is given; without a run, do nothing."""
    if _connection is None:
        return
    if name is not None and name != path.name:
        path = Path(shutil.copy(path, Path(_connection.scratch.name) / name))
    _connection.outbox.put(Message(_connection.run, "file", {}, str(path.resolve())))


def tag_run(tags: dict[str, str]) -> None:
    """Tag the run; without a run, do nothing."""
    if _connection is not None:
        _connection.outbox.put(Message(_connection.run, "tags", {"tags": tags}))


def _now() -> int:
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


def flatten(nested: Mapping[str, Any], prefix: str = "", separator: str = ".") -> dict[str, Any]:
    """Nested mappings as one level of joined names.

    >>> flatten({"a": {"b": 1}, "c": 2})
    {'a.b': 1, 'c': 2}
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        name = f"{prefix}{separator}{key}" if prefix else key
        flat |= flatten(value, name, separator) if isinstance(value, Mapping) else {name: value}
    return flat
