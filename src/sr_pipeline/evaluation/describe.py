"""What the figures of an evaluation depend on, as plain values."""

import hashlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np

from sr_pipeline.evaluation.measuring import chosen_metrics, with_files
from sr_pipeline.evaluation.metrics import METRICS, Networks
from sr_pipeline.evaluation.parameters import EvaluateParameters
from sr_pipeline.evaluation.pictures import RESAMPLING
from sr_pipeline.evaluation.statistics import FEWEST
from sr_pipeline.imaging.metrics import PSNR_LIMIT
from sr_pipeline.inference.engines import resolve_engine
from sr_pipeline.networks.parameters import SCALE, LpipsParameters, PerceptualParameters

_LIBRARIES = ("keras", "numpy", "pillow", "scikit-image", "scipy", "tensorflow")
# These change which pictures are measured (their hash says that), by what, what is shown of it, or how fast: no figure.
# What the reduction and the metrics are is described in other words.
_NOT_PROTOCOL = {"model", "benchmarks", "max_images", "workers", "shown", "detail_size", "confidence"} | {
    "metrics",
    "reduction",
    "vgg16",
}
_LUMA = {
    "rgb": "BT.601, 16-235, not rounded",
    "raw": "BT.601, pictures without colour 0-255",
    "stored": "BT.601, gray pictures 0-255",
}
_ENGINES_LIBRARIES = {"onnx": "onnxruntime", "openvino": "openvino", "openvino-bfloat16": "openvino"}


def describe_model(source: str, generators: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Where the generators come from, a hash of the weights of each, and what else is known about them."""
    return {"source": source, "weights": {name: weights_sha256(model) for name, model in generators.items()}, **facts}


_PACKAGED = Networks(LpipsParameters(), PerceptualParameters())


def describe_protocol(parameters: EvaluateParameters, networks: Networks = _PACKAGED) -> dict[str, Any]:
    """How pictures were measured: all that changes a figure, and nothing else, as figures by one protocol compare.

    ``measures`` says what single metrics depend on, ``psnr_limit`` what equal pictures are given. The engine is the one
    that ``auto`` means here.

    Raises:
        UserError: if a file of weights cannot be read.
    """
    networks = with_files(networks, parameters)
    own = {name: METRICS[name].protocol(networks) for name in chosen_metrics(parameters, networks)}
    engine = resolve_engine(parameters.engine)
    libraries = sorted({*_LIBRARIES, _ENGINES_LIBRARIES.get(engine, "tensorflow")})
    return {
        "scale": SCALE,
        "reduction": RESAMPLING[parameters.reduction].title,
        "border": SCALE,
        "luma": _LUMA[parameters.gray],
        **parameters.model_dump(mode="json", exclude=_NOT_PROTOCOL),
        "engine": engine,
        "libraries": {name: metadata.version(name) for name in libraries},
        "measures": {name: facts for name, facts in own.items() if facts},
        "psnr_limit": round(PSNR_LIMIT, 2),
    }


def protocol_of(metric: str, protocol: dict[str, Any]) -> dict[str, Any]:
    """The part of a protocol that figures of ``metric`` depend on, so that those of different evaluations compare.

    What other metrics depend on does not count, nor does the limit of PSNR: figures below it are what they always were.
    """
    own = protocol.get("measures", {}).get(metric)
    part = {key: value for key, value in protocol.items() if key not in ("measures", "psnr_limit")}
    return part | ({"measure": own} if own else {})


def describe_intervals(parameters: EvaluateParameters) -> dict[str, Any]:
    """How the confidence intervals of means and differences were made."""
    return {"method": "Student's t", "confidence": parameters.confidence, "fewest_pictures": FEWEST}


def weights_sha256(model: Any) -> str:
    """One hash of all weights of a Keras model, whatever file they came from."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(str((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
