"""What the notebooks share: the way into the project, its training's MLflow run, and measures of fine detail."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.errors import UserError

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol


def open_catalog(*needed: str) -> "CatalogProtocol[Any, Any]":
    """Kedro's catalog of the project that contains the working directory.

    The project folder becomes the working directory, to which paths in catalog and manifest are relative.

    Args:
        needed: datasets that must exist.

    Raises:
        UserError: if this is not a project folder, or one of ``needed`` has not been made yet.
    """
    from kedro.utils import find_kedro_project

    project: Path | None = find_kedro_project(Path.cwd())
    if project is None:
        raise UserError(f"{Path.cwd()} is not in a project folder; open the notebook from its place in the project")
    os.chdir(project)  # before Kedro is loaded, which looks for its logging configuration here
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    bootstrap_project(project)
    catalog = KedroSession.create(project).load_context().catalog
    missing = [name for name in needed if not catalog.exists(name)]
    if missing:
        raise UserError(
            f"there are no results yet (missing: {', '.join(missing)}): run `make run` in {project}, then this "
            "notebook again"
        )
    return catalog


def find_training_run(catalog: "CatalogProtocol[Any, Any]") -> tuple[Any, Any]:
    """A client of the MLflow store, and the run in it that trained the present generators.

    Raises:
        UserError: if the store is not there, or does not know that run.
    """
    from sr_pipeline.tracking.run import TRAINING_ID
    from sr_pipeline.tracking.store import experiment_name, open_store

    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm's, which MLflow loads
    client = open_store()
    training_id = catalog.load("mlflow_run")[TRAINING_ID]
    experiment = client.get_experiment_by_name(experiment_name())
    found = client.search_runs([experiment.experiment_id], f"tags.{TRAINING_ID} = '{training_id}'")
    for run in found:  # the newest first
        if "train/step_seconds" in run.data.metrics:
            return client, run
    raise UserError(
        f"the MLflow store has no run of training {training_id}: it was tracked elsewhere (set MLFLOW_TRACKING_URI), "
        "or train again with `kedro run --params=train.resume=false`"
    )


def power_by_frequency(y: NDArray[np.float64], bins: int = 40) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power of a picture's components by spatial frequency, in all directions together.

    Args:
        y: one channel, (h, w).
        bins: number of frequency bands between 0 and 0.5 cycles per pixel.

    Returns:
        The middles of the bands in cycles per pixel, and the mean power in each, (bins,) both.
    """
    from scipy.fft import dctn

    power = dctn(y - y.mean(), norm="ortho") ** 2
    edges = np.linspace(0, 0.5, bins + 1)
    frequencies = _frequencies(y.shape)
    total, _ = np.histogram(frequencies, edges, weights=power)
    count, _ = np.histogram(frequencies, edges)
    return (edges[:-1] + edges[1:]) / 2, total / np.maximum(count, 1)


def fine_detail(y: NDArray[np.float64], scale: int) -> NDArray[np.float64]:
    """What a ``scale`` times smaller picture cannot hold: ``y`` (h, w) without frequencies below its Nyquist limit."""
    from scipy.fft import dctn, idctn

    components = dctn(y, norm="ortho")
    components[_frequencies(y.shape) < 0.5 / scale] = 0
    detail: NDArray[np.float64] = idctn(components, norm="ortho")
    return detail


def _frequencies(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Spatial frequency of each component of a cosine transform in cycles per pixel.

    The cosine transform continues a picture by its mirror image; a Fourier transform, which continues it by the
    opposite edge, would count the jump between them as detail.
    """
    rows, columns = (np.arange(length) / (2 * length) for length in shape)
    frequencies: NDArray[np.float64] = np.hypot(rows[:, np.newaxis], columns)
    return frequencies
