"""What the figures of an evaluation depend on, as plain values."""

import hashlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np

from sr_pipeline.evaluation.parameters import EvaluateParameters
from sr_pipeline.inference.engines import resolve_engine
from sr_pipeline.networks.parameters import SCALE

_LIBRARIES = ("keras", "numpy", "pillow", "scikit-image", "scipy", "tensorflow")
# These change which pictures are measured (their hash says that), by what, what is shown of it, or how fast: no figure.
_NOT_PROTOCOL = {"model", "benchmarks", "max_images", "metrics", "workers", "shown", "detail_size"} | {
    "confidence",
    "resamples",
}
_ENGINES_LIBRARIES = {"onnx": "onnxruntime", "openvino": "openvino", "openvino-bfloat16": "openvino"}


def describe_model(source: str, generators: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Where the generators come from, a hash of the weights of each, and what else is known about them."""
    return {"source": source, "weights": {name: weights_sha256(model) for name, model in generators.items()}, **facts}


def describe_protocol(parameters: EvaluateParameters) -> dict[str, Any]:
    """How pictures were measured: all that changes a figure, and nothing else, as figures by one protocol compare.

    The engine is the one that ``auto`` means here.
    """
    engine = resolve_engine(parameters.engine)
    libraries = sorted({*_LIBRARIES, _ENGINES_LIBRARIES.get(engine, "tensorflow")})
    return {
        "scale": SCALE,
        "reduction": "Pillow BICUBIC, antialiased, 8 bits",
        "border": SCALE,
        "luma": "BT.601, 16-235, not rounded" if parameters.gray == "rgb" else "BT.601, gray pictures 0-255",
        **parameters.model_dump(mode="json", exclude=_NOT_PROTOCOL),
        "engine": engine,
        "libraries": {name: metadata.version(name) for name in libraries},
    }


def describe_intervals(parameters: EvaluateParameters) -> dict[str, Any]:
    """How the confidence intervals of means and differences were made."""
    return {"confidence": parameters.confidence, "resamples": parameters.resamples}


def weights_sha256(model: Any) -> str:
    """One hash of all weights of a Keras model, whatever file they came from."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(str((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
