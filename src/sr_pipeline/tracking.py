"""MLflow tracking: which store, which run, and what nodes report to it while they work.

MLflow takes seconds to import, so it is imported when a run begins. What is reported goes through an outbox: neither
a slow store nor one that is down holds the work up.
"""

import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kedro.utils import find_kedro_project

from sr_pipeline.errors import UserError
from sr_pipeline.outbox import Letter, Outbox, RefusedError
from sr_pipeline.parameters import ProjectParameters
from sr_pipeline.processes import describe_process, is_gone
from sr_pipeline.processor import processor_kind
from sr_pipeline.storage import write_text

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

EXPERIMENT = "sr-pipeline"
# Identifiers by which later stages find the run of a training, or of the same `dvc repro`.
TRAINING_ID = "training_id"
DVC_REPRO = "dvc_repro"
DVC_EXPERIMENT = "dvc_experiment"
"""Tag: the name of the run in ``dvc exp show``."""
PROCESS = "process"
"""Tag: the process that writes a run, by which a later start sees that it was killed."""

# Relative to the project folder: the id of the run whose training has begun and not ended, and reports not sent yet.
_UNFINISHED = Path("data/.scratch/unfinished_run")
_UNSENT = Path("data/.scratch/unsent")
_MAX_LENGTH = 5000  # of a tag or parameter; MLflow refuses longer ones
_DIGEST_LENGTH = 36  # of a data set
_FINAL = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")  # errors that trying again does not mend


class _Open(NamedTuple):
    """The run that this process reports to."""

    run: str
    outbox: Outbox
    scratch: "tempfile.TemporaryDirectory[str]"  # files on their way


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


_open: _Open | None = None


def set_up_store(project: Path) -> Any:
    """Import MLflow and point it at the store: MLFLOW_TRACKING_URI, or ``mlflow.db`` in the project folder.

    Queued and temporary DVC experiments run in a copy of the project that is removed afterwards; their store is that
    of the project itself, in which ``DVC_ROOT`` is.

    Raises:
        UserError: if the store does not answer.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    # A store that is down is known after seconds, not minutes; what it misses then is sent later.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    import mlflow

    try:
        if "MLFLOW_TRACKING_URI" in os.environ:
            mlflow.set_experiment(EXPERIMENT)
            return mlflow
        project = find_kedro_project(Path(os.environ.get("DVC_ROOT", project))) or project
        mlflow.set_tracking_uri(f"sqlite:///{project.as_posix()}/mlflow.db")
        if mlflow.get_experiment_by_name(EXPERIMENT) is None:
            mlflow.create_experiment(EXPERIMENT, artifact_location=(project / "mlartifacts").as_uri())
        mlflow.set_experiment(EXPERIMENT)
        return mlflow
    except (mlflow.exceptions.MlflowException, OSError) as error:
        reason = str(error).partition("\n")[0][:300]
        raise UserError(
            f"the tracking store {mlflow.get_tracking_uri()} does not answer ({reason}); start it, or unset "
            "MLFLOW_TRACKING_URI to track in this folder"
        ) from error


def open_store() -> Any:
    """A client of the store of the project folder that this process is in, for commands that only look.

    Raises:
        UserError: if there is none.
    """
    project = Path.cwd()
    if "MLFLOW_TRACKING_URI" not in os.environ and not (project / "mlflow.db").is_file():
        raise UserError(
            f"there is no MLflow store in {project}; run this in the project folder after a kedro run, or set "
            "MLFLOW_TRACKING_URI"
        )
    return set_up_store(project).MlflowClient()


def begin_run(
    project: Path, parameters: ProjectParameters, pipeline_names: list[str], training_id: str | None, *, trains: bool
) -> None:
    """Start the MLflow run of this ``kedro run``, or join the one it belongs to.

    Under DVC, stages join the run of their training (``training_id``, for stages that come after it) or the
    run that an earlier stage of the same ``dvc repro`` started, unless that run has other parameters. A run that
    ``trains`` joins, under the same condition, the one whose training was interrupted: it will go on with it.

    Runs of killed processes are marked as such, and reports that an earlier process could not send are sent.
    """
    global _open  # noqa: PLW0603  (MLflow's own active run is one a process, too)
    mlflow = set_up_store(project)
    mark_killed_runs(mlflow.MlflowClient())
    logged = _described(parameters)
    repro = dvc_process()
    joined = _interrupted_run(mlflow, logged) if trains and parameters.train.resume else None
    if joined is None and repro:
        joined = _run_to_join(mlflow, logged, training_id, repro)
    if joined:
        mlflow.start_run(run_id=joined, log_system_metrics=True)
        run = mlflow.get_run(joined)
        logged = {name: value for name, value in logged.items() if name not in run.data.params}
        if "error" in run.data.tags:  # of an earlier attempt
            mlflow.MlflowClient().delete_tag(joined, "error")
    else:
        started_by = "dvc repro" if repro else " ".join(pipeline_names)
        mlflow.start_run(run_name=f"{parameters.recipe} {started_by}".strip(), log_system_metrics=True)
    mlflow.log_params(logged)
    tags = {
        "recipe": parameters.recipe,
        "source": parameters.ingest.source,
        "perceptual_weights": _weights_kind(parameters.perceptual.weights),
        "processor": processor_kind(),
        PROCESS: describe_process(),
        **_git_state(project),
    }
    if repro:
        tags[DVC_REPRO] = repro
        if "DVC_EXP_NAME" in os.environ:
            tags[DVC_EXPERIMENT] = os.environ["DVC_EXP_NAME"]
    mlflow.set_tags(tags)
    outbox = Outbox(_send, _UNSENT)
    outbox.send_kept()
    _open = _Open(mlflow.active_run().info.run_id, outbox, tempfile.TemporaryDirectory())


def mark_killed_runs(client: Any) -> None:
    """Mark runs of this machine that still count as running although their process is gone."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    running = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
    for run in running:
        if is_gone(run.data.tags.get(PROCESS, "")):
            client.set_tag(run.info.run_id, "error", "killed without warning; seen at the next start")
            client.set_terminated(run.info.run_id, "KILLED")


def end_run(status: str, error: BaseException | None = None) -> None:
    """End the run, if any, as ``FINISHED``, ``FAILED`` or ``KILLED``; an error becomes a tag."""
    global _open
    if _open is None:
        return
    opened, _open = _open, None
    if error is not None:
        tags = {"error": f"{type(error).__name__}: {error}"[:_MAX_LENGTH]}
        opened.outbox.put(Letter(opened.run, "tags", {"tags": tags}))
    opened.outbox.put(Letter(opened.run, "end", {"status": status, "time": _now()}))
    kept = opened.outbox.close()
    if kept:
        log.warning(
            "%d reports could not be sent to the tracking store; they wait in %s and are sent at the next kedro run",
            kept,
            _UNSENT,
        )
    opened.scratch.cleanup()
    _end_active_run(status, tell_the_store=not kept)


def _end_active_run(status: str, *, tell_the_store: bool) -> None:
    """End what MLflow holds of the run in this process: its thread of system metrics, and the run itself."""
    import mlflow

    if tell_the_store:
        mlflow.end_run(status)
        return
    try:
        mlflow.end_run(status)
    except Exception:  # the store is down: the letter that ends the run was kept
        log.debug("the tracking store is down", exc_info=True)


def log_training_progress(metrics: dict[str, float], step: int, picture: "Image.Image | None" = None) -> None:
    """Log what a training step reports to the run, below ``train/``; without a run, do nothing.

    ``picture`` joins the series ``validation``, which the MLflow UI shows step by step.
    """
    if _open is None:
        return
    named = {f"train/{name}": value for name, value in metrics.items()}
    _open.outbox.put(Letter(_open.run, "metrics", {"metrics": named, "step": step, "time": _now()}))
    if picture is not None:
        file = Path(_open.scratch.name) / f"{step}.png"
        picture.save(file)
        content = {"key": "validation", "step": step, "time": _now()}
        _open.outbox.put(Letter(_open.run, "picture", content, str(file)))


def log_final_metrics(metrics: Mapping[str, Any], evaluation: Mapping[str, Any], model_id: str | None = None) -> None:
    """Log what an evaluation measured, and on which pictures, under names like ``val/srgan/psnr_y``.

    Without a run, do nothing.

    Args:
        metrics: ``{set: {method: {metric: value}}}``.
        evaluation: what the figures rest on.
        model_id: of the logged model that the figures belong to, if there is one yet.
    """
    if _open is None:
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
        _open.outbox.put(Letter(_open.run, "metrics", content))


def log_data_sets(data_sets: list[DataSet]) -> None:
    """Log what data the run uses; without a run, do nothing."""
    if _open is not None:
        for data_set in data_sets:
            _open.outbox.put(Letter(_open.run, "data set", data_set._asdict()))


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
    if _open is None:
        return
    if name is not None and name != path.name:
        path = Path(shutil.copy(path, Path(_open.scratch.name) / name))
    _open.outbox.put(Letter(_open.run, "file", {}, str(path.resolve())))


def tag_run(tags: dict[str, str]) -> None:
    """Tag the run; without a run, do nothing."""
    if _open is not None:
        _open.outbox.put(Letter(_open.run, "tags", {"tags": tags}))


def mark_unfinished() -> None:
    """Note that the run trains, for a later start to find if this one is killed."""
    if _open is not None:
        _UNFINISHED.parent.mkdir(parents=True, exist_ok=True)
        write_text(_UNFINISHED, _open.run)


def mark_finished() -> None:
    """Take the note back: the training of the run is done."""
    if _open is not None:
        _UNFINISHED.unlink(missing_ok=True)


def _send(letter: Letter) -> None:
    """Send one letter to the store: see ``outbox.Send``."""
    import mlflow

    try:
        _SENDERS[letter.kind](mlflow.MlflowClient(), letter)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code in _FINAL:
            raise RefusedError(str(error)) from error
        raise


def _send_metrics(client: Any, letter: Letter) -> None:
    from mlflow.entities import Metric

    content = letter.content
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
    client.log_batch(letter.run, metrics=metrics)


def _send_tags(client: Any, letter: Letter) -> None:
    from mlflow.entities import RunTag

    client.log_batch(letter.run, tags=[RunTag(name, value) for name, value in letter.content["tags"].items()])


def _send_picture(client: Any, letter: Letter) -> None:
    import mlflow

    content = letter.content
    client.log_image(
        letter.run, mlflow.Image(str(letter.file)), key=content["key"], step=content["step"], timestamp=content["time"]
    )
    Path(str(letter.file)).unlink(missing_ok=True)


def _send_data_set(client: Any, letter: Letter) -> None:
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import DatasetInput, InputTag

    data_set = DataSet(**letter.content)
    source = CodeDatasetSource({"source": data_set.source})
    described = MetaDataset(source, data_set.name, data_set.digest)  # type: ignore[abstract]
    tags = [InputTag("mlflow.data.context", data_set.context)]
    client.log_inputs(letter.run, [DatasetInput(described._to_mlflow_entity(), tags)])


_SENDERS = {
    "metrics": _send_metrics,
    "tags": _send_tags,
    "picture": _send_picture,
    "data set": _send_data_set,
    "file": lambda client, letter: client.log_artifact(letter.run, letter.file),
    "end": lambda client, letter: client.set_terminated(letter.run, letter.content["status"], letter.content["time"]),
}


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


def dvc_process() -> str | None:
    """Identify the ``dvc repro`` this process is a stage of; None outside DVC.

    Process number and start time together are unique on a machine.
    """
    if "DVC_STAGE" not in os.environ:
        return None
    import psutil

    for parent in psutil.Process().parents():
        if any(Path(argument).name.startswith("dvc") for argument in parent.cmdline()[:2]):
            return f"{parent.pid}@{parent.create_time():.2f}"
    return None


def _described(parameters: ProjectParameters) -> dict[str, str]:
    """Parameters as the run shows them.

    Those of the recipe are named ``recipe.…`` whichever it is, so that runs of different recipes compare field by
    field; sources that the run does not use are left out.
    """
    content = parameters.model_dump(mode="json", by_alias=True, exclude={"recipes"})
    content["ingest"] = {
        name: value
        for name, value in content["ingest"].items()
        if not isinstance(value, dict) or name == parameters.ingest.source
    }
    flat = flatten(content) | flatten(parameters.chosen_recipe().model_dump(mode="json"), "recipe")
    return {name: str(value)[:_MAX_LENGTH] for name, value in flat.items()}


def _run_to_join(mlflow: Any, parameters: dict[str, str], training_id: str | None, repro: str) -> str | None:
    """Newest run of this training or of this ``dvc repro`` that no parameter contradicts."""
    filters = [f"tags.{DVC_REPRO} = '{repro}'"]
    if training_id:
        filters.insert(0, f"tags.{TRAINING_ID} = '{training_id}'")
    for condition in filters:
        for run in mlflow.search_runs(
            experiment_names=[EXPERIMENT], filter_string=condition, output_format="list", max_results=1
        ):
            if _agrees(run, parameters):
                return str(run.info.run_id)
    return None


def _agrees(run: Any, parameters: dict[str, str]) -> bool:
    """Does no logged parameter of ``run`` contradict?"""
    known = run.data.params
    return all(known.get(name, value) == value for name, value in parameters.items())


def _interrupted_run(mlflow: Any, parameters: dict[str, str]) -> str | None:
    """The run that was training when it was stopped, if this store knows it and no parameter contradicts."""
    if not _UNFINISHED.is_file():
        return None
    try:
        run = mlflow.get_run(_UNFINISHED.read_text(encoding="utf-8"))
    except mlflow.exceptions.MlflowException:
        return None
    return str(run.info.run_id) if _agrees(run, parameters) else None


def _weights_kind(weights: str) -> str:
    return weights if weights in ("packaged", "imagenet", "untrained") else f"file {Path(weights).name}"


def _git_state(project: Path) -> dict[str, str]:
    """Commit and whether the working tree differs from it; empty outside git."""
    try:
        commit, status = (
            subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=True).stdout.strip()
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"mlflow.source.git.commit": commit, "git_commit": commit, "git_dirty": str(bool(status)).lower()}
