"""The node that puts the generator into the MLflow model registry."""

import logging
import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import sr_pipeline
from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.describe import protocol_of, weights_sha256
from sr_pipeline.imaging.resample import crop_to_multiple, downsample
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.parameters import RegisterParameters
from sr_pipeline.pictures.photographs import read_rgb
from sr_pipeline.tracking import model_card
from sr_pipeline.tracking.messages import flatten, log_final_metrics
from sr_pipeline.tracking.registry import ARTIFACT, choose_alias, give_alias, score_of
from sr_pipeline.tracking.run import TRAINING_ID

log = logging.getLogger(__name__)

_EXAMPLE_SIZE = 24  # pixels of the input example's edges: one training crop
# What the code that travels with the model imports.
_REQUIREMENTS = (
    *("keras", "mlflow", "numpy", "pandas", "pillow", "pydantic", "pypng", "scipy", "tensorflow"),
    "universal-pathlib",
)


def register_generator(
    images: pd.DataFrame,
    generators: dict[str, Any],
    metrics: dict[str, Any],
    evaluation: dict[str, Any],
    mlflow_run: dict[str, Any],
    parameters: RegisterParameters,
) -> None:
    """Log the generator as an MLflow model, register it as a new version, and give it an alias.

    The model takes and gives picture files and carries its own code; the plain Keras model is among its artifacts.
    The version becomes ``champion`` if there is none yet, or if it beats the current one by ``register.metric`` on the
    same pictures and by the same protocol; otherwise ``challenger``, with the reason as a tag.

    Raises:
        UserError: if the metric to compare by was not measured, or was measured on another generator.
    """
    import mlflow

    if evaluation["model"]["weights"].get("srgan") != weights_sha256(generators["srgan"]):
        raise UserError(
            f"the last evaluation measured another generator ({evaluation['model']['source']}) than the trained one; "
            "run kedro run --pipelines=evaluate,register"
        )
    flat = flatten(metrics, separator="/")
    protocol = protocol_of(parameters.metric.rpartition("/")[2], evaluation["protocol"])
    score = score_of(parameters.metric, flat, evaluation | {"protocol": protocol})
    info = _log_model(generators["srgan"], images, parameters.model_name)
    log_final_metrics(metrics, evaluation, info.model_id)
    client, version = mlflow.MlflowClient(), str(info.registered_model_version)
    for key, tag in {**score.tags(), TRAINING_ID: mlflow_run[TRAINING_ID]}.items():
        client.set_model_version_tag(parameters.model_name, version, key, tag)
    run = mlflow.get_run(info.run_id)
    card = model_card.write(run.data.tags, metrics, evaluation)
    client.update_model_version(parameters.model_name, version, card)
    alias, reason = choose_alias(client, parameters.model_name, score)
    give_alias(client, parameters.model_name, version, alias, reason)
    log.info("registered %s version %s as %s: %s", parameters.model_name, version, alias, reason)


def _log_model(generator: Any, images: pd.DataFrame, model_name: str) -> Any:
    import mlflow

    from sr_pipeline.datasets.keras_generators import save_keras_model

    package = Path(sr_pipeline.__file__).parent
    with tempfile.TemporaryDirectory() as scratch:
        code = Path(scratch) / package.name
        shutil.copytree(package, code, ignore=shutil.ignore_patterns("__pycache__", "page", "weights"))
        file = Path(scratch) / f"{ARTIFACT}.keras"
        save_keras_model(generator, file)
        return mlflow.pyfunc.log_model(
            name="generator",
            python_model=str(package / "serving" / "registered_model.py"),
            artifacts={ARTIFACT: str(file)},
            code_paths=[str(code)],
            signature=_signature(),
            input_example=_input_example(images),
            registered_model_name=model_name,
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in _REQUIREMENTS],
        )


def _signature() -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    pictures = Schema([ColSpec(DataType.binary, "image")])
    return ModelSignature(inputs=pictures, outputs=pictures)


def _input_example(images: pd.DataFrame) -> pd.DataFrame:
    """The middle of the first held-out photograph's low-resolution version, as a PNG file of 24x24 pixels."""
    import io

    held_out = images[(images["status"] == "ok") & (images["split"] == "val")].sort_values("id")
    lr = downsample(crop_to_multiple(read_rgb(held_out["file"].iloc[0]), SCALE), SCALE)
    top, left = ((edge - _EXAMPLE_SIZE) // 2 for edge in lr.shape[:2])
    crop = np.ascontiguousarray(lr[top : top + _EXAMPLE_SIZE, left : left + _EXAMPLE_SIZE])
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "PNG")
    return pd.DataFrame({"image": [buffer.getvalue()]})
