"""The node that puts the generator into the MLflow model registry."""

import logging
from typing import Any

import numpy as np
import pandas as pd

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.describe import weights_sha256
from sr_pipeline.imaging.decode import read_rgb
from sr_pipeline.imaging.resample import crop_to_multiple, downsample
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.parameters import RegisterParameters
from sr_pipeline.tracking import TRAINING_ID, flatten

log = logging.getLogger(__name__)

_EXAMPLE_SIZE = 24  # pixels of the input example's edges: one training crop


def register_generator(
    images: pd.DataFrame,
    generators: dict[str, Any],
    metrics: dict[str, Any],
    evaluation: dict[str, Any],
    mlflow_run: dict[str, str],
    parameters: RegisterParameters,
) -> None:
    """Log the generator as an MLflow model, register it as a new version, and give it an alias.

    The version becomes ``champion`` if there is none yet or its metric beats the present champion's, else
    ``challenger``. The model takes float32 RGB (n, h, w, 3) in [0, 1] and gives (n, 4h, 4w, 3) in [-1, 1].

    Raises:
        UserError: if the metric to compare by was not measured, or was measured on another generator.
    """
    import keras
    import mlflow
    import tensorflow as tf

    keras.utils.disable_interactive_logging()  # MLflow tries the input example, with Keras' progress bar
    if evaluation["model"]["weights"].get("srgan") != weights_sha256(generators["srgan"]):
        raise UserError(
            f"the last evaluation measured another generator ({evaluation['model']['source']}) than the trained one; "
            "run kedro run --pipelines=evaluate,register"
        )
    flat = flatten(metrics, separator="/")
    if parameters.metric not in flat:
        raise UserError(f"register.metric '{parameters.metric}' was not measured; choose one of: {', '.join(flat)}")
    # Not mlflow.keras: in MLflow 3.17 it fails on input examples (writes them before it makes the folder).
    info = mlflow.tensorflow.log_model(
        generators["srgan"],
        name="generator",
        signature=_signature(),
        input_example=_input_example(images),
        registered_model_name=parameters.model_name,
        pip_requirements=[f"tensorflow=={tf.__version__}", f"keras=={keras.__version__}", f"numpy=={np.__version__}"],
    )
    mlflow.log_metrics(flat, model_id=info.model_id)
    version = str(info.registered_model_version)
    client = mlflow.MlflowClient()
    value = flat[parameters.metric]
    for key, tag in {parameters.metric: repr(value), TRAINING_ID: mlflow_run[TRAINING_ID]}.items():
        client.set_model_version_tag(parameters.model_name, version, key, tag)
    alias = _alias(client, parameters, value)
    client.set_registered_model_alias(parameters.model_name, alias, version)
    log.info(
        "registered %s version %s as %s (%s %.4f)", parameters.model_name, version, alias, parameters.metric, value
    )


def _alias(client: Any, parameters: RegisterParameters, value: float) -> str:
    """``champion`` if the value beats that of the version which now has this alias."""
    from mlflow.exceptions import MlflowException

    try:
        champion = client.get_model_version_by_alias(parameters.model_name, "champion")
    except MlflowException:
        return "champion"
    best = champion.tags.get(parameters.metric)
    return "champion" if best is None or value > float(best) else "challenger"


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    images = TensorSpec(np.dtype(np.float32), (-1, -1, -1, 3))
    return ModelSignature(inputs=Schema([images]), outputs=Schema([images]))


def _input_example(images: pd.DataFrame) -> np.ndarray:
    """The middle of the first held-out photograph's low-resolution version, (1, 24, 24, 3) in [0, 1]."""
    held_out = images[(images["status"] == "ok") & (images["split"] == "val")].sort_values("id")
    lr = downsample(crop_to_multiple(read_rgb(held_out["file"].iloc[0]), SCALE), SCALE)
    top, left = ((edge - _EXAMPLE_SIZE) // 2 for edge in lr.shape[:2])
    crop = lr[top : top + _EXAMPLE_SIZE, left : left + _EXAMPLE_SIZE]
    return crop[np.newaxis].astype(np.float32) / 255.0
