"""All parameters of the project as one typed tree, checked before anything runs."""

import difflib
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from sr_pipeline.errors import UserError
from sr_pipeline.networks.parameters import SCALE, Parameters, PerceptualParameters
from sr_pipeline.training.recipes import Recipe, TrainParameters


class CocoSplit(Parameters):
    """One split of a COCO data set on disk; relative paths start at the project folder."""

    images: Path = Field(description="folder of the image files")
    annotations: Path = Field(description="JSON file that lists them")


class CocoParameters(Parameters):
    """A COCO data set: what to train on and what to hold out."""

    train: CocoSplit
    val: CocoSplit


class IngestParameters(Parameters):
    """Where photographs come from and which are fit for training."""

    source: Literal["sample", "coco"]
    coco: CocoParameters
    max_images: int | None = Field(None, ge=1, description="of each split, in the order of image ids; none: all")
    min_size: int = Field(96, ge=1, description="shortest edge in pixels; smaller pictures are set aside")


class MaterializeParameters(Parameters):
    """How crops are cut and stored."""

    crop_size: int = Field(96, ge=2 * SCALE, multiple_of=SCALE, description="edge of an HR crop (Ledig et al.: 96)")
    crops_per_image: int = Field(ge=1)
    shards: int = Field(1, ge=1, description="files a split is spread over")
    workers: int = Field(1, ge=1, description="processes; 1 works without a cluster")
    scheduler: str | None = Field(None, description="address of a running Dask scheduler, tcp://host:port")


class EvaluateParameters(Parameters):
    """What the comparison picture shows."""

    detail_size: int = Field(96, ge=16, multiple_of=SCALE, description="edge of the zoomed detail in HR pixels")


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
    evaluate: EvaluateParameters
    register_: RegisterParameters = Field(alias="register")

    def chosen_recipe(self) -> Recipe:
        """The recipe that ``recipe`` names."""
        return self.recipes[self.recipe]


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
