"""Typed parameters of the evaluation."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from sr_pipeline.evaluation.metrics import METRICS
from sr_pipeline.imaging.histogram import Space
from sr_pipeline.inference.engines import EngineName
from sr_pipeline.networks.parameters import SCALE, Parameters

HELD_OUT = "val"
"""Name of the set of held-out photographs."""

GrayScoring = Literal["rgb", "raw", "stored"]
"""How pictures without colour are scored."""

SetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"metrics are {', '.join(METRICS)}")
    return name


MetricName = Annotated[str, AfterValidator(_known_metric)]


class MatchingParameters(Parameters):
    """Histogram matching of super-resolved pictures to their low-resolution input."""

    space: Space = Field("rgb", description="'rgb', 'ycbcr' (BT.601), or 'chroma': Cb and Cr alone")
    strength: float = Field(1.0, ge=0, le=1, description="share of the matched picture in the result")
    reference: Literal["input", "enlarged"] = Field(
        "input", description="the input as it is, or bicubically enlarged; never the original"
    )


class PostprocessParameters(Parameters):
    """Histogram matching of a folder of pictures."""

    pictures: Path | None = Field(None, description="folder of enlarged pictures")
    inputs: Path | None = Field(None, description="folder of what they were made from, under the same names")
    matching: MatchingParameters = MatchingParameters()


class EvaluateParameters(Parameters):
    """What is measured, on which pictures, and how it is shown."""

    model: str | None = Field(
        None,
        min_length=1,
        description="none: the generators of the present training; models:/<name>@<alias> or models:/<name>/<version>; "
        "or a .keras file",
    )
    benchmarks: dict[SetName, Path] = Field(
        {}, description="folders of originals, with low-resolution files if they have them, by the names of their sets"
    )
    max_images: int | None = Field(
        None, ge=1, description="of the held-out photographs, chosen by seed; a larger number takes the same and more"
    )
    metrics: list[MetricName] | None = Field(
        None,
        min_length=1,
        description="none: psnr_y, ssim_y, psnr_rgb, ssim_rgb, ssim_daala, consistency, ciede2000, and lpips unless "
        "lpips.weights is null",
    )
    vgg16: Path | None = Field(
        None, description="weights of lpips_vgg and dists, an .npz file that benchmarks.vgg16_weights makes"
    )
    gray: GrayScoring = Field(
        "rgb",
        description="'raw' scores originals without colour on their gray values 0-255 instead of on Y (16-235); "
        "'stored' only those whose file has a single channel, as published figures of Set14 do",
    )
    reduction: Literal["pillow", "matlab"] = Field(
        "pillow",
        description="what makes the low-resolution input, and the method 'bicubic': 'matlab' is imresize, which most "
        "published figures rest on",
    )
    matching: MatchingParameters = MatchingParameters()
    engine: EngineName = Field("float32", description="what super-resolves: see inference.engines")
    tile: int = Field(256, ge=16, description="largest edge in LR pixels that is super-resolved at once")
    workers: int | None = Field(None, ge=1, description="threads that measure; none: one per core")
    confidence: float = Field(0.95, gt=0, lt=1, description="of the intervals of means")
    detail_size: int = Field(96, ge=16, multiple_of=SCALE, description="edge of the zoomed detail in HR pixels")
    shown: int = Field(6, ge=1, description="pictures of each set on its sheets")
