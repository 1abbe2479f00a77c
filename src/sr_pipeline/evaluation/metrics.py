"""The metrics: one row each, with how it is shown, what it needs, and how it is computed."""

import importlib.util
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sr_pipeline.errors import UserError
from sr_pipeline.hashing import file_sha256
from sr_pipeline.imaging.metrics import Enlarged, Original, ciede2000, consistency, limited_psnr
from sr_pipeline.imaging.niqe import niqe
from sr_pipeline.imaging.ranges import to_minus_one_one
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.networks.parameters import LAST_LAYER, LpipsParameters, PerceptualParameters
from sr_pipeline.packaged import LPIPS_ALEX, weights_file

LPIPS, VGG_DISTANCE, LPIPS_VGG, DISTS = "lpips", "vgg_distance", "lpips_vgg", "dists"

_LPIPS_EDGE = 31  # pixels; of less, AlexNet's poolings leave nothing
_VGG16_EDGE = 16


class Networks(NamedTuple):
    """Which weights the metrics that compare features use."""

    lpips: LpipsParameters
    perceptual: PerceptualParameters
    vgg16: Path | None = None
    """A file of the weights of LPIPS-VGG and DISTS."""


Measure = Callable[[Original, Sequence[Enlarged]], Sequence[float]]
"""From an original and enlarged pictures of it to a value for each of them."""

NetworkDistance = Callable[[np.ndarray, np.ndarray], Any]
"""From pictures in [-1, 1], (1, h, w, 3) and (n, h, w, 3), to n distances."""


class Metric(NamedTuple):
    """A way to compare an enlarged picture with its original.

    Attributes:
        label: its name in tables and pictures.
        unit: of its values; empty for plain numbers.
        higher_is_better: whether more is better.
        decimals: digits after the point in tables.
        prepare: loads what the metric needs, and returns what computes it.
        check: raises a UserError if what it needs is missing; called before anything runs.
        by_default: whether it is measured if nothing else is asked for.
        protocol: what its figures depend on beside what all depend on: the hash of weights, for example.
    """

    label: str
    unit: str
    higher_is_better: bool
    decimals: int
    prepare: Callable[[Networks], Measure]
    check: Callable[[Networks], None] = lambda networks: None
    by_default: Callable[[Networks], bool] = lambda networks: True
    protocol: Callable[[Networks], dict[str, str]] = lambda networks: {}

    @property
    def title(self) -> str:
        """Label and unit, as ``PSNR-Y (dB)``."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


def measure(original: Original, image: RgbImage, names: Iterable[str]) -> dict[str, float]:
    """Compare one enlarged picture with its original by metrics that need no network.

    Args:
        original: the high-resolution picture.
        image: the enlarged one, (h, w, 3) uint8, of the same size.
        names: of ``METRICS``.

    Raises:
        ValueError: if the sizes differ.
    """
    enlarged = [Enlarged(image, original)]
    nothing = Networks(LpipsParameters(weights=None), PerceptualParameters())
    return {name: METRICS[name].prepare(nothing)(original, enlarged)[0] for name in names}


def of_each(function: Callable[[Original, Enlarged], float]) -> Callable[[Networks], Measure]:
    """``prepare`` of a metric that needs nothing and looks at one picture after the other."""
    return lambda networks: lambda original, images: [float(function(original, image)) for image in images]


def by_network(distance: NetworkDistance, smallest_edge: int = 1) -> Measure:
    """What compares all enlarged pictures with the original at once; ``nan`` below ``smallest_edge`` pixels."""

    def distances(original: Original, images: Sequence[Enlarged]) -> Sequence[float]:
        if min(original.hr.shape[:2]) < smallest_edge:
            return [float("nan")] * len(images)
        from sr_pipeline.networks.full_float32 import full_float32

        reference = to_minus_one_one(original.hr[np.newaxis])
        stack = to_minus_one_one(np.stack([enlarged.image for enlarged in images]))
        with full_float32:
            return [float(value) for value in np.asarray(distance(reference, stack))]

    return distances


def _prepare_lpips(networks: Networks) -> Measure:
    from sr_pipeline.networks.lpips import Lpips

    return by_network(Lpips(str(networks.lpips.weights)), _LPIPS_EDGE)


def _check_lpips(networks: Networks) -> None:
    if networks.lpips.weights is None:
        raise UserError(
            "evaluate.metrics asks for lpips, which needs its weights: set lpips.weights to 'packaged', or to an "
            ".npz file of LPIPS-Alex"
        )
    networks.lpips.check_file()


def _lpips_protocol(networks: Networks) -> dict[str, str]:
    if networks.lpips.weights is None:
        return {}
    return {"weights_sha256": file_sha256(weights_file(networks.lpips.weights, LPIPS_ALEX))}


def _prepare_vgg_distance(networks: Networks) -> Measure:
    from sr_pipeline.networks.features import FeatureExtractor, feature_distance

    extractor = FeatureExtractor(networks.perceptual.weights)
    return by_network(lambda reference, images: feature_distance(extractor, reference, images))


def _check_vgg_distance(networks: Networks) -> None:
    if networks.perceptual.weights in ("untrained", "packaged"):
        raise UserError(
            f"evaluate.metrics asks for vgg_distance, which needs trained weights of VGG19 up to {LAST_LAYER}: set "
            "perceptual.weights to 'imagenet' or the path of a VGG19 .weights.h5 file"
        )
    networks.perceptual.check([LAST_LAYER])


def _prepare_vgg16(name: str) -> Callable[[Networks], Measure]:
    def prepare(networks: Networks) -> Measure:
        from sr_pipeline.networks.vgg16 import Dists, LpipsVgg, Vgg16Weights

        weights = Vgg16Weights(_vgg16_file(name, networks))
        return by_network(LpipsVgg(weights) if name == LPIPS_VGG else Dists(weights), _VGG16_EDGE)

    return prepare


def _vgg16_file(name: str, networks: Networks) -> Path:
    """The file of weights, for ``prepare`` and for ``check``.

    Raises:
        UserError: if there is none.
    """
    if networks.vgg16 is None:
        problem = "weights of VGG16, which do not come with this package"
    elif not networks.vgg16.is_file():
        problem = f"weights of VGG16, and there is no file {networks.vgg16}"
    else:
        return networks.vgg16
    raise UserError(
        f"evaluate.metrics asks for {name}, which needs {problem}: set evaluate.vgg16 to the file that "
        "python -m benchmarks.vgg16_weights writes (see docs/evaluation.md)"
    )


def _vgg16_metric(name: str, label: str) -> Metric:
    def check(networks: Networks) -> None:
        _vgg16_file(name, networks)

    def protocol(networks: Networks) -> dict[str, str]:
        return {"weights_sha256": file_sha256(_vgg16_file(name, networks))}

    return Metric(label, "", False, 4, _prepare_vgg16(name), check, _on_request, protocol)


def _prepare_flip(networks: Networks) -> Measure:
    from sr_pipeline.evaluation.flip import flip

    return of_each(flip)(networks)


def _check_flip(networks: Networks) -> None:
    if importlib.util.find_spec("flip_evaluator") is None:
        raise UserError(
            'evaluate.metrics asks for flip, which needs the package flip-evaluator: pip install "sr-pipeline[flip]"'
        )


def _flip_protocol(networks: Networks) -> dict[str, str]:
    _check_flip(networks)
    from sr_pipeline.evaluation.flip import PIXELS_PER_DEGREE

    return {"flip-evaluator": metadata.version("flip-evaluator"), "pixels_per_degree": f"{PIXELS_PER_DEGREE:g}"}


def _on_request(networks: Networks) -> bool:
    return False


def _vgg_distance_protocol(networks: Networks) -> dict[str, str]:
    weights = networks.perceptual.weights
    if weights == "imagenet":  # a single file, whose hash Keras checks
        return {"weights": "Keras' ImageNet weights of VGG19"}
    return {"weights_sha256": file_sha256(Path(weights))}


METRICS = {
    "psnr_y": Metric("PSNR-Y", "dB", True, 2, of_each(lambda hr, sr: limited_psnr(hr.y, sr.y))),
    "ssim_y": Metric("SSIM-Y", "", True, 4, of_each(lambda hr, sr: hr.ssim_y(sr.y))),
    "psnr_rgb": Metric("PSNR-RGB", "dB", True, 2, of_each(lambda hr, sr: limited_psnr(hr.inner(hr.hr), sr.inner))),
    "ssim_rgb": Metric("SSIM-RGB", "", True, 4, of_each(lambda hr, sr: hr.ssim_rgb(sr.planes))),
    "ssim_daala": Metric("SSIM-Y (daala)", "", True, 4, of_each(lambda hr, sr: hr.ssim_daala(sr.y))),
    "consistency": Metric(
        "consistency", "dB", True, 2, of_each(consistency), protocol=lambda networks: {"border": "1 pixel of the input"}
    ),
    "ciede2000": Metric("CIEDE2000", "", False, 2, of_each(ciede2000)),
    VGG_DISTANCE: Metric(
        "VGG distance",
        "",
        False,
        4,
        _prepare_vgg_distance,
        _check_vgg_distance,
        _on_request,
        _vgg_distance_protocol,
    ),
    LPIPS: Metric(
        "LPIPS",
        "",
        False,
        4,
        _prepare_lpips,
        _check_lpips,
        lambda networks: networks.lpips.weights is not None,
        _lpips_protocol,
    ),
    LPIPS_VGG: _vgg16_metric(LPIPS_VGG, "LPIPS-VGG"),
    DISTS: _vgg16_metric(DISTS, "DISTS"),
    "flip": Metric("FLIP", "", False, 4, _prepare_flip, _check_flip, _on_request, _flip_protocol),
    "niqe": Metric("NIQE", "", False, 2, of_each(lambda hr, sr: niqe(sr.image, hr.scale)), by_default=_on_request),
}
"""All metrics by name, in the order of the tables; docs/evaluation.md says what each one means."""
