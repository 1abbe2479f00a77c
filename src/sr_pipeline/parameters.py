"""All parameters of the project as one typed tree, checked before anything runs."""

import difflib
from typing import Any, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator

from sr_pipeline.crops.parameters import MaterializeParameters
from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.parameters import EvaluateParameters, PostprocessParameters
from sr_pipeline.networks.parameters import LpipsParameters, Parameters, PerceptualParameters
from sr_pipeline.sources.parameters import IngestParameters
from sr_pipeline.training.recipes import Recipe, TrainParameters


class RegisterParameters(Parameters):
    """The MLflow model registry."""

    model_name: str = Field("sr-generator", min_length=1, description="without '/' and ':', which MLflow forbids")
    metric: str = Field(
        "val/srgan/psnr_y",
        description="set/method/metric of metrics.json; more is better unless the metric says otherwise",
    )

    @field_validator("model_name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if set("/:") & set(name):
            raise ValueError("MLflow allows neither '/' nor ':' in the name of a registered model")
        return name


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
        """The chosen recipe, with the layer of ``perceptual.layer`` if that is set."""
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
    text = first["msg"]
    own = text.removeprefix("Value error, ")  # of a validator here; others are pydantic's sentences
    message = own if own != text else text[0].lower() + text[1:]
    return f"parameter '{name}' is {first['input']!r}: {message}"


def _unknown(kind: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"choose one of: {', '.join(sorted(known))}"
    return f"{kind} '{name}' is unknown; {hint}"


def _names_beside(location: tuple[str | int, ...]) -> list[str]:
    """Full names of the parameters allowed where the unknown one was found."""
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
