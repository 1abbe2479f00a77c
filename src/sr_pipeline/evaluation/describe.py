"""What the figures of an evaluation rest on, as plain values."""

import hashlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np

from sr_pipeline.evaluation.parameters import EvaluateParameters
from sr_pipeline.inference.engines import resolve_engine
from sr_pipeline.networks.parameters import SCALE

_LIBRARIES = ("keras", "numpy", "pillow", "scikit-image", "scipy", "tensorflow")
_ENGINES_LIBRARIES = {"onnx": "onnxruntime", "openvino": "openvino", "openvino-bfloat16": "openvino"}
_NOT_PROTOCOL = {"model", "benchmarks", "workers", "shown"}  # these change what is shown, or how fast


def describe_model(source: str, generators: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Where the generators come from, a hash of the weights of each, and what else is known of them."""
    return {"source": source, "weights": {name: weights_sha256(model) for name, model in generators.items()}, **facts}


def describe_protocol(parameters: EvaluateParameters, metrics: list[str]) -> dict[str, Any]:
    """How was measured, in all that changes a figure; the engine is the one that ``auto`` means here."""
    engine = resolve_engine(parameters.engine)
    libraries = sorted({*_LIBRARIES, _ENGINES_LIBRARIES.get(engine, "tensorflow")})
    return {
        "scale": SCALE,
        "reduction": "Pillow BICUBIC, antialiased, 8 bits",
        "border": SCALE,
        "luma": "BT.601, 16-235, not rounded" if parameters.gray == "rgb" else "BT.601, gray pictures 0-255",
        **parameters.model_dump(mode="json", exclude=_NOT_PROTOCOL),
        "engine": engine,
        "metrics": metrics,
        "libraries": {name: metadata.version(name) for name in libraries},
    }


def weights_sha256(model: Any) -> str:
    """One hash of all weights of a Keras model, whatever file they came from."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(str((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
