"""The project's command line: ``kedro run`` with errors a user can act on.

Kedro finds the group ``cli`` of this module and prefers its commands to its own.
"""

import copy
import difflib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import click
import yaml
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from kedro.utils import load_obj
from omegaconf import OmegaConf

from sr_pipeline.errors import UserError
from sr_pipeline.installation import missing_package


@click.group()
def cli() -> None:
    """Commands of this project."""


def _run(**options: Any) -> Any:
    """Run as Kedro does, but turn what the user can fix into one line and exit code 1."""
    try:
        _check_pipeline_names([options["pipeline"]] if options["pipeline"] else options["pipelines"] or [])
        _check_runner(options["runner"])
        assert kedro_run.callback is not None
        return kedro_run.callback(**options)
    except ModuleNotFoundError as error:
        raise click.ClickException(str(missing_package(error))) from error
    except (UserError, DatasetError, yaml.YAMLError) as error:
        raise click.ClickException(_one_line(error)) from error
    except ValueError as error:
        if not _is_of_pipeline(error):
            raise
        raise click.ClickException(_one_line(error)) from error  # no such node or tag, or none left


def _check_runner(name: str | None) -> None:
    if not name:
        return
    try:
        load_obj(name, "kedro.runner")
    except (AttributeError, ImportError, ValueError) as error:
        raise UserError(
            f"runner '{name}' is unknown; choose SequentialRunner, ThreadRunner or ParallelRunner"
        ) from error


def _is_of_pipeline(error: BaseException) -> bool:
    """Whether Kedro's choice of nodes raised this."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals["__name__"]).startswith(("kedro.pipeline", "kedro.framework.session"))


def _check_pipeline_names(names: list[str]) -> None:
    from sr_pipeline.pipeline_registry import register_pipelines  # here, where a missing package becomes one line

    known = sorted(register_pipelines())
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"choose one of: {', '.join(known)}"
            raise UserError(f"pipeline '{name}' is unknown; {hint}")


def _one_line(error: BaseException) -> str:
    """The message of the UserError behind ``error``, which Kedro wraps, or else that of ``error`` itself."""
    message = next((str(cause) for cause in _causes(error) if isinstance(cause, UserError)), str(error))
    return " ".join(message.split())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def run_project(folder: Path, options: list[str]) -> None:
    """Run the project in a folder, as ``kedro run`` does with these options; ends the process."""
    bootstrap_project(folder)
    run.main(options, prog_name="sr-pipeline run")


def _merged_parameters(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """All ``--params`` as one tree; of a parameter that is given twice the last counts."""
    read = _params_option().callback
    assert read is not None
    trees = [value if isinstance(value, dict) else read(context, option, value) for value in values]
    return cast("dict[str, Any]", OmegaConf.to_container(OmegaConf.merge(*trees))) if trees else {}


def _params_option() -> click.Parameter:
    return next(option for option in kedro_run.params if option.name == "params")


def _repeatable(option: click.Parameter) -> click.Parameter:
    """``--params``, of which Kedro heeds only the last."""
    assert isinstance(option, click.Option)
    return click.Option(
        ["--params"], type=click.UNPROCESSED, multiple=True, help=option.help, callback=_merged_parameters
    )


run = copy.copy(kedro_run)
run.callback = _run
run.params = [_repeatable(option) if option.name == "params" else option for option in kedro_run.params]
cli.add_command(run)
