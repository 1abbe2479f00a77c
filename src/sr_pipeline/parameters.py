"""All parameters of the project as one typed tree, checked before anything runs."""

import difflib
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.parameters import EvaluateParameters, PostprocessParameters
from sr_pipeline.imaging.decode import MAX_PIXELS
from sr_pipeline.networks.parameters import SCALE, LpipsParameters, Parameters, PerceptualParameters
from sr_pipeline.storage import Location
from sr_pipeline.training.recipes import Recipe, TrainParameters


class CocoSplit(Parameters):
    """One split of a COCO data set; relative paths start at the project folder, addresses go through fsspec."""

    images: Location = Field(description="folder of the image files")
    annotations: Location = Field(description="JSON file that lists them")


class ArchiveParameters(Parameters):
    """A file to download, and what it is known by."""

    url: str = Field(pattern="^https?://")
    size: int | None = Field(None, ge=1, description="bytes")
    md5: str | None = Field(None, pattern="^[0-9a-f]{32}$")


class DownloadParameters(Parameters):
    """Where a COCO data set is fetched from, and how patiently."""

    folder: Path = Field(Path("data/01_raw/downloads"), description="keeps the archives")
    annotations: ArchiveParameters
    train: ArchiveParameters
    val: ArchiveParameters
    parallel: int = Field(8, ge=1, description="downloads at once")
    attempts: int = Field(6, ge=1, description="in a row without a byte gained; then a download has failed")
    first_wait: float = Field(1.0, ge=0, description="seconds before the second attempt; doubled for each further")
    timeout: float = Field(30.0, gt=0, description="seconds without an answer or a byte that end an attempt")


class CocoParameters(Parameters):
    """A COCO data set: what to train on, what to hold out, and which of its images to take."""

    train: CocoSplit
    val: CocoSplit
    fetch: Literal["archives", "images"] | None = Field(
        None, description="download what is missing: the image archives, or chosen images one by one"
    )
    downloads: DownloadParameters | None = None
    categories: list[str] | None = Field(None, min_length=1, description="only images with an object of one of these")
    licences: list[int] | None = Field(None, min_length=1, description="only images with one of these COCO licence ids")


class FolderParameters(Parameters):
    """A plain folder of photographs."""

    path: Location | None = Field(None, description="all pictures in it and below")
    val_fraction: float = Field(0.1, gt=0, lt=1, description="share that is held out, chosen by a hash of the name")


class IngestParameters(Parameters):
    """Where photographs come from and which are fit for training."""

    source: Literal["sample", "coco", "folder"]
    coco: CocoParameters
    folder: FolderParameters = FolderParameters()
    max_images: int | None = Field(
        None, ge=1, description="of each split, chosen by seed; a larger number takes the same and more; none: all"
    )
    min_size: int = Field(96, ge=1, description="shortest edge in pixels; smaller pictures are set aside")
    max_pixels: int = Field(
        MAX_PIXELS, ge=1, le=178_000_000, description="larger pictures count as decompression bombs; Pillow's limit"
    )
    max_bad_fraction: float = Field(
        0.01, ge=0, le=1, description="share of bad files that stops the run; a single one never does"
    )
    workers: int | None = Field(None, ge=1, description="threads that decode; none: one a processor")


class MaterializeParameters(Parameters):
    """How crops are cut and stored."""

    crop_size: int = Field(96, ge=2 * SCALE, multiple_of=SCALE, description="edge of an HR crop (Ledig et al.: 96)")
    crops_per_image: int = Field(ge=1)
    min_contrast: float = Field(
        0, ge=0, lt=127.5, description="standard deviation of luma in gray levels; flatter crops are left out"
    )
    shards: int = Field(1, ge=1, description="files a split is spread over")
    workers: int | None = Field(None, ge=1, description="processes; 1 works without a cluster; none: as many as pay")
    scheduler: str | None = Field(None, description="address of a running Dask scheduler, tcp://host:port")


class RegisterParameters(Parameters):
    """The MLflow model registry."""

    model_name: str = Field("sr-generator", min_length=1)
    metric: str = Field("val/srgan/psnr_y", description="set/method/metric of metrics.json; more is better")


class ProjectParameters(Parameters):
    """The whole of ``conf/*/parameters*.yml`` with ``--params`` on top."""

    recipe: str
    seed: int = Field(ge=0, lt=2**31)
    recipes: dict[str, Recipe]
    ingest: IngestParameters
    materialize: MaterializeParameters
    train: TrainParameters
    perceptual: PerceptualParameters
    lpips: LpipsParameters = LpipsParameters()
    evaluate: EvaluateParameters
    postprocess: PostprocessParameters = PostprocessParameters()
    register_: RegisterParameters = Field(alias="register")

    def chosen_recipe(self) -> Recipe:
        """The recipe that ``recipe`` names, with the layer that ``perceptual.layer`` names, if it does."""
        return self.recipes[self.recipe].comparing(self.perceptual.layer)


def check_parameters(raw: dict[str, Any]) -> ProjectParameters:
    """Validate all parameters.

    Raises:
        UserError: naming the first parameter that is misspelt, out of range or of the wrong type.
    """
    try:
        parameters = ProjectParameters.model_validate(raw)
    except ValidationError as error:
        raise UserError(_explain(error)) from error
    if parameters.recipe not in parameters.recipes:
        raise UserError(_unknown("recipe", parameters.recipe, list(parameters.recipes)))
    return parameters


def _explain(error: ValidationError) -> str:
    """One line about the first thing pydantic found, misspelt names before missing ones."""
    first = min(error.errors(), key=lambda entry: entry["type"] == "missing")
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown("parameter", name, _names_beside(first["loc"]))
    if first["type"] == "missing":
        return f"parameter '{name}' is missing; set it in conf/base or with --params={name}=<value>"
    message = first["msg"][0].lower() + first["msg"][1:]
    return f"parameter '{name}' is {first['input']!r}: {message}"


def _unknown(kind: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"choose one of: {', '.join(sorted(known))}"
    return f"{kind} '{name}' is unknown; {hint}"


def _names_beside(location: tuple[str | int, ...]) -> list[str]:
    """Full names of the parameters that may stand where the unknown one was found."""
    model: type[BaseModel] = ProjectParameters
    for part in location[:-1]:
        model = _model_at(model, str(part))
    prefix = "".join(f"{part}." for part in location[:-1])
    return [prefix + (field.alias or name) for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], name: str) -> type[BaseModel]:
    """The class of field ``name``; a recipe's name inside ``recipes`` stays at ``Recipe``."""
    for field_name, field in model.model_fields.items():
        if name in (field_name, field.alias):
            candidates = [field.annotation, *get_args(field.annotation)]
            return next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return model
