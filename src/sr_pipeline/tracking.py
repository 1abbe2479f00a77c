"""MLflow tracking: which store, which run, and what nodes report to it while they work.

MLflow takes seconds to import, so it is imported when a run begins.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sr_pipeline.errors import UserError
from sr_pipeline.parameters import ProjectParameters
from sr_pipeline.storage import write_text

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

EXPERIMENT = "sr-pipeline"
# Identifiers by which later stages find the run of a training, or of the same `dvc repro`.
TRAINING_ID = "training_id"
DVC_REPRO = "dvc_repro"
# Holds the id of the run whose training has begun and not ended; relative to the project folder.
_UNFINISHED = Path("data/.scratch/unfinished_run")
_MAX_LENGTH = 5000  # of a tag or parameter; MLflow refuses longer ones


def set_up_store(project: Path) -> Any:
    """Import MLflow and point it at the store: MLFLOW_TRACKING_URI, or ``mlflow.db`` in the project folder."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    import mlflow

    if "MLFLOW_TRACKING_URI" in os.environ:
        mlflow.set_experiment(EXPERIMENT)
        return mlflow
    mlflow.set_tracking_uri(f"sqlite:///{project.as_posix()}/mlflow.db")
    if mlflow.get_experiment_by_name(EXPERIMENT) is None:
        mlflow.create_experiment(EXPERIMENT, artifact_location=(project / "mlartifacts").as_uri())
    mlflow.set_experiment(EXPERIMENT)
    return mlflow


def begin_run(
    project: Path, parameters: ProjectParameters, pipeline_names: list[str], training_id: str | None, *, trains: bool
) -> None:
    """Start the MLflow run of this ``kedro run``, or join the one it belongs to.

    Under DVC, stages join the run of their training (``training_id``, for stages that come after it) or the
    run that an earlier stage of the same ``dvc repro`` started, unless that run has other parameters. A run that
    ``trains`` joins, under the same condition, the one whose training was interrupted: it will go on with it.
    """
    mlflow = set_up_store(project)
    flat = flatten(parameters.model_dump(mode="json", by_alias=True, exclude={"recipes"}))
    flat |= flatten(parameters.chosen_recipe().model_dump(mode="json"), "recipes." + parameters.recipe)
    logged = {name: str(value)[:_MAX_LENGTH] for name, value in flat.items()}
    repro = dvc_process()
    joined = _interrupted_run(mlflow, logged) if trains and parameters.train.resume else None
    if joined is None and repro:
        joined = _run_to_join(mlflow, logged, training_id, repro)
    if joined:
        mlflow.start_run(run_id=joined, log_system_metrics=True)
        known = mlflow.get_run(joined).data.params
        logged = {name: value for name, value in logged.items() if name not in known}
    else:
        started_by = "dvc repro" if repro else " ".join(pipeline_names)
        mlflow.start_run(run_name=f"{parameters.recipe} {started_by}".strip(), log_system_metrics=True)
    mlflow.log_params(logged)
    tags = {
        "recipe": parameters.recipe,
        "source": parameters.ingest.source,
        "perceptual_weights": _weights_kind(parameters.perceptual.weights),
        **_git_state(project),
    }
    if repro:
        tags[DVC_REPRO] = repro
    mlflow.set_tags(tags)


def end_run(status: str, error: BaseException | None = None) -> None:
    """End the active run, if any, as ``FINISHED``, ``FAILED`` or ``KILLED``; an error becomes a tag."""
    mlflow = _active_mlflow()
    if mlflow is None:
        return
    if error is not None:
        mlflow.set_tag("error", f"{type(error).__name__}: {error}"[:_MAX_LENGTH])
    mlflow.end_run(status)


def log_training_progress(metrics: dict[str, float], step: int, picture: "Image.Image | None" = None) -> None:
    """Log what a training step reports to the active run, below ``train/``; without a run, do nothing.

    ``picture`` joins the series ``validation``, which the MLflow UI shows step by step.
    """
    mlflow = _active_mlflow()
    if mlflow is None:
        return
    mlflow.log_metrics({f"train/{name}": value for name, value in metrics.items()}, step=step)
    if picture is not None:
        mlflow.log_image(picture, key="validation", step=step)


def log_final_metrics(metrics: Mapping[str, Any]) -> None:
    """Log nested metrics under names like ``val/srgan/psnr_y``; without a run, do nothing."""
    mlflow = _active_mlflow()
    if mlflow is not None:
        mlflow.log_metrics(flatten(metrics, separator="/"))


def load_registered_generator(uri: str) -> Any:
    """The Keras model behind ``models:/<name>@<alias>`` or ``models:/<name>/<version>``.

    Raises:
        UserError: if this store has none.
    """
    import mlflow

    try:
        return mlflow.tensorflow.load_model(uri, keras_model_kwargs={"compile": False})
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise _not_in_registry(uri, error) from error


def registered_model_facts(uri: str) -> dict[str, Any]:
    """The run that a registered model comes from, and what it was trained with.

    Raises:
        UserError: if this store has none.
    """
    import mlflow

    try:
        info = mlflow.models.get_model_info(uri)
        run = mlflow.get_run(info.run_id)
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise _not_in_registry(uri, error) from error
    return {"mlflow_run": info.run_id, TRAINING_ID: run.data.tags.get(TRAINING_ID), "training": dict(run.data.params)}


def _not_in_registry(uri: str, error: Exception) -> UserError:
    import mlflow

    reason = str(error).partition("\n")[0]
    return UserError(
        f"evaluate.model={uri} cannot be loaded from {mlflow.get_tracking_uri()} ({reason}); name a registered model "
        "such as models:/sr-generator@champion, or a .keras file"
    )


def log_folder(path: Path, folder: str) -> None:
    """Attach all files of a folder to the active run; without a run, do nothing."""
    mlflow = _active_mlflow()
    if mlflow is not None:
        mlflow.log_artifacts(str(path), folder)


def log_file(path: Path, folder: str | None = None) -> None:
    """Attach a file to the active run; without a run, do nothing."""
    mlflow = _active_mlflow()
    if mlflow is not None:
        mlflow.log_artifact(str(path), folder)


def tag_run(tags: dict[str, str]) -> None:
    """Tag the active run; without a run, do nothing."""
    mlflow = _active_mlflow()
    if mlflow is not None:
        mlflow.set_tags(tags)


def mark_unfinished() -> None:
    """Note that the active run trains, for a later start to find if this one is killed."""
    mlflow = _active_mlflow()
    if mlflow is not None:
        _UNFINISHED.parent.mkdir(parents=True, exist_ok=True)
        write_text(_UNFINISHED, mlflow.active_run().info.run_id)


def mark_finished() -> None:
    """Take the note back: the training of the active run is done."""
    if _active_mlflow() is not None:
        _UNFINISHED.unlink(missing_ok=True)


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


def _active_mlflow() -> Any | None:
    mlflow = sys.modules.get("mlflow")
    return mlflow if mlflow is not None and mlflow.active_run() is not None else None


def _weights_kind(weights: str) -> str:
    return weights if weights in ("imagenet", "untrained") else f"file {Path(weights).name}"


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
