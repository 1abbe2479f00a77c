"""The MLflow store: which one, and opening it.

MLflow takes seconds to import, so it is imported when it is needed.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kedro.utils import find_kedro_project

from sr_pipeline.errors import UserError
from sr_pipeline.tracking.store_errors import check_database, explain_store_errors, shown

EXPERIMENT = "sr-pipeline"
"""Unless MLFLOW_EXPERIMENT_NAME is set."""

# How long a server may take, unless the user's own settings say otherwise. One that is down is known after seconds at
# the start; later, what it misses is sent again.
_FIRST_CONTACT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "5", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
_AFTERWARDS = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "20", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}

# They log, with tracebacks, what is raised and explained as well, or what the outbox says in one line.
_NOISY = ("mlflow.store.db.utils", "mlflow.system_metrics.system_metrics_monitor")


def experiment_name() -> str:
    """Name of the MLflow experiment whose runs are meant."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT


def set_up_store(project: Path) -> Any:
    """Import MLflow and set its store: MLFLOW_TRACKING_URI, or ``mlflow.db`` in the project folder.

    Queued and temporary DVC experiments run in a copy of the project that is removed afterwards; their store is that
    of the project itself, in which ``DVC_ROOT`` is.

    Raises:
        UserError: if the store does not answer or cannot be used.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    import mlflow

    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with explain_store_errors(), _first_contact():
        artifacts = None
        if "MLFLOW_TRACKING_URI" not in os.environ:
            project = find_kedro_project(Path(os.environ.get("DVC_ROOT", project))) or project
            mlflow.set_tracking_uri(sqlite_uri(project / "mlflow.db"))
            artifacts = (project / "mlartifacts").as_uri()
        check_database(mlflow.get_tracking_uri())
        _set_experiment(mlflow, artifacts)
    return mlflow


def _set_experiment(mlflow: Any, artifacts: str | None) -> None:
    """Make new runs join the experiment, which is made if it is missing; ``artifacts`` is where its files go."""
    name = experiment_name()
    experiment = mlflow.get_experiment_by_name(name)
    if experiment is None and artifacts is not None:
        mlflow.create_experiment(name, artifact_location=artifacts)
    elif experiment is not None and experiment.lifecycle_stage != "active":
        store = shown(mlflow.get_tracking_uri())
        raise UserError(
            f"the experiment {name} was deleted in the tracking store {store}; restore it with MLFLOW_TRACKING_URI="
            f"'{store}' mlflow experiments restore --experiment-id {experiment.experiment_id}, or set "
            "MLFLOW_EXPERIMENT_NAME to another name"
        )
    mlflow.set_experiment(name)


def sqlite_uri(file: Path) -> str:
    """The address of a SQLite file as SQLAlchemy reads it, whatever characters its path has.

    An ordinary path stays readable. One with ``%`` or ``?`` is quoted, and the driver is named: for ``sqlite:///``
    MLflow would make a folder of the quoted name.
    """
    from sqlalchemy.engine import URL, make_url

    plain = f"sqlite:///{file.as_posix()}"
    if make_url(plain).database == file.as_posix():
        return plain
    return URL.create("sqlite+pysqlite", database=file.as_posix()).render_as_string()


@contextmanager
def _first_contact() -> Iterator[None]:
    """Let a server that stays silent be known soon; afterwards, requests may take longer."""
    unset = [name for name in _FIRST_CONTACT if name not in os.environ]
    os.environ.update({name: _FIRST_CONTACT[name] for name in unset})
    try:
        yield
    finally:
        os.environ.update({name: _AFTERWARDS[name] for name in unset})


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
