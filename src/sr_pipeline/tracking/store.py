"""The MLflow store: which one, and opening it.

MLflow takes seconds to import, so it is imported when it is needed.
"""

import os
from pathlib import Path
from typing import Any

from kedro.utils import find_kedro_project

from sr_pipeline.errors import UserError

EXPERIMENT = "sr-pipeline"


def set_up_store(project: Path) -> Any:
    """Import MLflow and set its store: MLFLOW_TRACKING_URI, or ``mlflow.db`` in the project folder.

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
    """A client of the store of the current project folder, for commands that only read.

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
