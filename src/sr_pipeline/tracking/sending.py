"""How each message of the outbox is sent to MLflow, such that sending it again changes nothing.

A message may come twice: the store took it and its answer was lost, or a training that was killed computes the steps
since its last checkpoint again. MLflow itself would keep both.
"""

import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sr_pipeline.tracking.outbox import Message, RefusedError, RunGoneError

_FINAL = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")  # errors that another attempt does not fix

_DIGEST_LENGTH = 36  # of a data set

_PICTURES = "images"
"""Folder of a run's artifacts in which the MLflow UI looks for series of pictures."""


class DataSet(NamedTuple):
    """Data that a run used: its name, a hash of its content, where it is, and what for."""

    name: str
    sha256: str
    source: str
    context: str

    @property
    def digest(self) -> str:
        """The hash as MLflow takes it."""
        return self.sha256[:_DIGEST_LENGTH]


class MlflowSender:
    """Sends messages to the MLflow store of this process: see ``outbox.Send``."""

    def __init__(self) -> None:
        self._stored: dict[str, _Stored] = {}
        self._senders: dict[str, Callable[[Any, Message], None]] = {
            "steps": self._send_steps,
            "metrics": _send_metrics,
            "tags": _send_tags,
            "picture": self._send_picture,
            "data set": _send_data_set,
            "file": lambda client, message: client.log_artifact(message.run, message.file),
            "end": _send_end,
        }

    def __call__(self, message: Message) -> None:
        """Send one message.

        Raises:
            RefusedError: if the store will never accept it, or it cannot be read any more.
            RunGoneError: if its run was deleted.
            Exception: if the store does not answer.
        """
        import mlflow

        if message.kind not in self._senders:
            raise RefusedError("this release does not know such reports")
        if message.file is not None and not Path(message.file).is_file():
            raise RefusedError(f"{message.file} is gone")
        try:
            self._senders[message.kind](mlflow.MlflowClient(), message)
        except Exception as error:
            self._stored.pop(message.run, None)  # the store may have taken a part of it
            if isinstance(error, mlflow.exceptions.MlflowException) and error.error_code in _FINAL:
                check_run(mlflow.MlflowClient(), message.run)
                raise RefusedError(str(error)) from error
            raise

    def _send_steps(self, client: Any, message: Message) -> None:
        """Metrics of a step of the training, except those that the run has of that step already."""
        stored, step = self._stored_of(client, message.run), message.content["step"]
        new = {name: value for name, value in message.content["metrics"].items() if step not in stored.steps(name)}
        if new:
            _send_metrics(client, Message(message.run, message.kind, message.content | {"metrics": new}))
        for name in new:
            stored.steps(name).add(step)

    def _send_picture(self, client: Any, message: Message) -> None:
        """A picture of a series, under the name that the run has it by if it has that step already.

        As ``MlflowClient.log_image`` does, which gives each attempt a name of its own.
        """
        from mlflow.tracking.multimedia import compress_image_size
        from PIL import Image

        content = message.content
        start = f"{content['key']}+step+{content['step']}+timestamp+"
        names = self._stored_of(client, message.run).pictures
        name = next((known for known in names if known.startswith(start)), None)
        if name is None:
            name = f"{start}{content['time']}+{uuid.uuid4()}"
            names.append(name)
        with tempfile.TemporaryDirectory() as folder, Image.open(str(message.file)) as picture:
            whole, preview = Path(folder) / f"{name}.png", Path(folder) / f"{name}+compressed.webp"
            picture.save(whole)
            compress_image_size(picture).save(preview)
            for file in (whole, preview):
                client.log_artifact(message.run, str(file), _PICTURES)
        client.set_tag(message.run, "mlflow.loggedImages", "True")

    def _stored_of(self, client: Any, run: str) -> "_Stored":
        if run not in self._stored:
            self._stored[run] = _Stored(client, run)
        return self._stored[run]


class _Stored:
    """What the store has of a run, asked when it is needed first and then kept up by who sends more.

    Attributes:
        pictures: names of those in series, without their endings.
    """

    def __init__(self, client: Any, run: str) -> None:
        self._client = client
        self._run = run
        self._logged = set(client.get_run(run).data.metrics)
        self._steps: dict[str, set[int]] = {}
        files = [Path(file.path).name for file in client.list_artifacts(run, _PICTURES)]
        self.pictures = [file.removesuffix(".png") for file in files if file.endswith(".png")]

    def steps(self, metric: str) -> set[int]:
        """The steps for which the run has the metric."""
        if metric not in self._steps:
            history = self._client.get_metric_history(self._run, metric) if metric in self._logged else []
            self._steps[metric] = {point.step for point in history}
        return self._steps[metric]


def check_run(client: Any, run: str) -> None:
    """Check that the store still has a run.

    Raises:
        RunGoneError: if it was deleted, be it for good or so that it can be restored.
        Exception: if the store does not answer.
    """
    from mlflow.exceptions import MlflowException

    try:
        stage = client.get_run(run).info.lifecycle_stage
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        stage = "unknown"
    if stage != "active":
        raise RunGoneError(f"the run {run} was deleted in the tracking store")


def _send_metrics(client: Any, message: Message) -> None:
    from mlflow.entities import Metric

    content = message.content
    metrics = [
        Metric(
            name,
            value,
            content["time"],
            content["step"],
            model_id=content.get("model"),
            dataset_name=content.get("data_set"),
            dataset_digest=content.get("digest"),
        )
        for name, value in content["metrics"].items()
    ]
    client.log_batch(message.run, metrics=metrics)


def _send_tags(client: Any, message: Message) -> None:
    from mlflow.entities import RunTag

    client.log_batch(message.run, tags=[RunTag(name, value) for name, value in message.content["tags"].items()])


def _send_data_set(client: Any, message: Message) -> None:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    data_set = DataSet(**message.content)
    source = CodeDatasetSource({"source": data_set.source})
    described = MetaDataset(source, data_set.name, data_set.digest)  # type: ignore[abstract]
    tags = [InputTag("mlflow.data.context", data_set.context)]
    client.log_inputs(message.run, [DatasetInput(described._to_mlflow_entity(), tags)])


def _send_end(client: Any, message: Message) -> None:
    """The end of a run, which a later start may have taken for killed while this message was waiting."""
    status = message.content["status"]
    client.set_terminated(message.run, status, message.content["time"])
    if status == "FINISHED" and "error" in client.get_run(message.run).data.tags:
        client.delete_tag(message.run, "error")
