"""The MLflow run of a `kedro run`: begun or joined, described, and ended with a true status."""

import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sr_pipeline.errors import UserError
from sr_pipeline.parameters import ProjectParameters
from sr_pipeline.processes import describe_process, is_gone, is_running_here
from sr_pipeline.processor import processor_kind
from sr_pipeline.storage import write_text
from sr_pipeline.tracking import messages
from sr_pipeline.tracking.messages import flatten
from sr_pipeline.tracking.outbox import RunGoneError
from sr_pipeline.tracking.sending import check_run
from sr_pipeline.tracking.store import experiment_name, set_up_store
from sr_pipeline.tracking.store_errors import explain_store_errors, shown

log = logging.getLogger(__name__)


# Identifiers by which later stages find the run of a training, or of the same `dvc repro`.
TRAINING_ID = "training_id"
DVC_REPRO = "dvc_repro"

DVC_EXPERIMENT = "dvc_experiment"
"""Tag: the name of the run in ``dvc exp show``."""

PROCESS = "process"
"""Tag: the process that writes a run, by which a later start sees that it was killed."""

# Relative to the project folder: the id of the run whose training has begun and not ended.
_UNFINISHED = Path("data/.scratch/unfinished_run")

_MAX_LENGTH = 5000  # of a tag or parameter; MLflow refuses longer ones


def begin_run(
    project: Path, parameters: ProjectParameters, pipeline_names: list[str], training_id: str | None, *, trains: bool
) -> None:
    """Start the MLflow run of this ``kedro run``, or join the one it belongs to.

    Under DVC, stages join the run of their training (``training_id``, for stages that come after it) or the
    run that an earlier stage of the same ``dvc repro`` started, unless that run has other parameters. A run that
    ``trains`` joins, under the same condition, the one whose training was interrupted: it will go on with it. Before
    all these comes the run that MLFLOW_RUN_ID names.

    Runs of killed processes are marked as such, and reports that an earlier process could not send are sent.

    Raises:
        UserError: if the store does not answer or cannot be used, or MLFLOW_RUN_ID names a run that cannot be joined.
    """
    mlflow = set_up_store(project)
    try:
        with explain_store_errors():
            _begin(mlflow, project, parameters, pipeline_names, training_id, trains=trains)
    except BaseException:
        _end_active_run("FAILED")  # or MLflow would end it as FINISHED
        raise
    messages.connect(mlflow.active_run().info.run_id)


def _begin(
    mlflow: Any,
    project: Path,
    parameters: ProjectParameters,
    pipeline_names: list[str],
    training_id: str | None,
    *,
    trains: bool,
) -> None:
    """What ``begin_run`` asks of the store."""
    mark_killed_runs(mlflow.MlflowClient())
    logged = _described(parameters)
    repro = dvc_process()
    joined = _named_run(mlflow, logged)
    if joined is None and trains and parameters.train.resume:
        joined = _interrupted_run(mlflow, logged)
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


def mark_killed_runs(client: Any) -> None:
    """Mark runs of this machine whose process is gone as killed."""
    experiment = client.get_experiment_by_name(experiment_name())
    running = client.search_runs([experiment.experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
    for run in running:
        if is_gone(run.data.tags.get(PROCESS, "")):
            client.set_tag(run.info.run_id, "error", "killed without warning; seen at the next start")
            client.set_terminated(run.info.run_id, "KILLED")


def end_run(status: str, error: BaseException | None = None) -> None:
    """End the run, if any, as ``FINISHED``, ``FAILED`` or ``KILLED``; an error becomes a tag."""
    reason = None if error is None else f"{type(error).__name__}: {error}"[:_MAX_LENGTH]
    kept = messages.disconnect(status, reason)
    if kept is None:
        return
    if kept:
        log.warning(
            "%d reports could not be sent to the tracking store; they wait in %s and are sent at the next kedro run",
            kept,
            messages.UNSENT,
        )
    _end_active_run(status)


def _end_active_run(status: str) -> None:
    """End what MLflow holds of the run in this process: its thread of system metrics, and the run itself.

    What goes wrong is no news: the outbox has sent or kept the message that ends the run, or has said that it was
    deleted.
    """
    import mlflow

    try:
        mlflow.end_run(status)
    except Exception:
        log.debug("the tracking store does not take the end of the run", exc_info=True)


def replace_deleted_run(begin: Callable[[], None]) -> None:
    """Let ``begin`` begin another run if that of this process was deleted: MLflow registers no model from such a one.

    Raises:
        UserError: as ``begin_run``.
    """
    import mlflow

    identity = messages.connected_run()
    if identity is None:
        return
    try:
        check_run(mlflow.MlflowClient(), identity)
    except RunGoneError:
        end_run("KILLED")
        begin()
    except mlflow.exceptions.MlflowException:  # the store does not answer, which says nothing about the run
        log.debug("the run cannot be looked up", exc_info=True)


def mark_unfinished() -> None:
    """Note that the run is training, so that a later start finds it if this process is killed."""
    run = messages.connected_run()
    if run is not None:
        _UNFINISHED.parent.mkdir(parents=True, exist_ok=True)
        write_text(_UNFINISHED, run)


def mark_finished() -> None:
    """Remove that note: the training is done."""
    if messages.connected_run() is not None:
        _UNFINISHED.unlink(missing_ok=True)


def dvc_process() -> str | None:
    """Identify the ``dvc repro`` this process is a stage of; None outside DVC.

    Process number and start time together are unique on a machine.
    """
    if "DVC_STAGE" not in os.environ:
        return None
    import psutil

    for parent in psutil.Process().parents():
        if _is_dvc(parent.cmdline()):
            return f"{parent.pid}@{parent.create_time():.2f}"
    return None


def _is_dvc(command: list[str]) -> bool:
    """Whether a command line starts DVC: its program, by an interpreter or not, or its module."""
    if any(Path(argument).name.startswith("dvc") for argument in command[:2]):
        return True
    return "-m" in command and command[command.index("-m") + 1 :][:1] == ["dvc"]


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
            experiment_names=[experiment_name()], filter_string=condition, output_format="list", max_results=1
        ):
            if _agrees(run, parameters):
                return str(run.info.run_id)
    return None


def _agrees(run: Any, parameters: dict[str, str]) -> bool:
    """Does no logged parameter of ``run`` contradict?

    Except whether an interrupted training goes on: ``any`` goes on with one that began with ``true``.
    """
    known = run.data.params
    return all(known.get(name, value) == value for name, value in parameters.items() if name != "train.resume")


def _named_run(mlflow: Any, parameters: dict[str, str]) -> str | None:
    """The run that MLFLOW_RUN_ID names, as ``mlflow run`` and jobs that continue a run set it; None if it is not set.

    Raises:
        UserError: if this run cannot be joined.
    """
    name = os.environ.get("MLFLOW_RUN_ID")
    if not name:
        return None
    try:
        run = mlflow.get_run(name)
    except mlflow.exceptions.MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        run = None
    obstacle = _obstacle(mlflow, run, parameters)
    if obstacle:
        raise UserError(f"MLFLOW_RUN_ID names the run {name}, {obstacle}, or unset MLFLOW_RUN_ID for a new run")
    return name


def _obstacle(mlflow: Any, run: Any, parameters: dict[str, str]) -> str | None:
    """Why a run cannot be joined and what to do, as the middle of a sentence; None if it can."""
    store = shown(mlflow.get_tracking_uri())
    if run is None:
        return f"which the tracking store {store} does not have; name another"
    if run.info.lifecycle_stage != "active":
        restore = f"MLFLOW_TRACKING_URI='{store}' mlflow runs restore --run-id {run.info.run_id}"
        return f"which was deleted; restore it with {restore}"
    experiment = mlflow.get_experiment(run.info.experiment_id)
    if experiment.name != experiment_name():
        return f"which belongs to another experiment; set MLFLOW_EXPERIMENT_NAME to '{experiment.name}'"
    if is_running_here(run.data.tags.get(PROCESS, "")):
        return "which another process writes; wait until that has ended"
    differing = [name for name in parameters if not _agrees(run, {name: parameters[name]})]
    if differing:
        return f"which has other parameters ({', '.join(differing[:5])}); give the same ones"
    return None


def _interrupted_run(mlflow: Any, parameters: dict[str, str]) -> str | None:
    """The run that was training when it was stopped, if this store has it and no parameter contradicts.

    Not one that was deleted, nor one whose process lives: that is training still.
    """
    if not _UNFINISHED.is_file():
        return None
    try:
        run = mlflow.get_run(_UNFINISHED.read_text(encoding="utf-8"))
    except mlflow.exceptions.MlflowException:
        return None
    if run.info.lifecycle_stage != "active" or is_running_here(run.data.tags.get(PROCESS, "")):
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
