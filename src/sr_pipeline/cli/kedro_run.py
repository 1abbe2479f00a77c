"""The project's command line: ``kedro run`` with errors a user can act on.

Kedro finds the group ``cli`` of this module and prefers its commands to its own.
"""

import copy
import difflib
from collections.abc import Iterator
from typing import Any

import click
import yaml
from kedro.framework.cli.project import run as kedro_run
from kedro.io import DatasetError

from sr_pipeline.errors import UserError
from sr_pipeline.installation import missing_package


@click.group()
def cli() -> None:
    """Commands of this project."""


def _run(**options: Any) -> Any:
    """Run as Kedro does, but turn what the user can fix into one line and exit code 1."""
    try:
        _check_pipeline_names([options["pipeline"]] if options["pipeline"] else options["pipelines"] or [])
        assert kedro_run.callback is not None
        return kedro_run.callback(**options)
    except ModuleNotFoundError as error:
        raise click.ClickException(str(missing_package(error))) from error
    except (UserError, DatasetError, yaml.YAMLError) as error:
        raise click.ClickException(_one_line(error)) from error


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


run = copy.copy(kedro_run)
run.callback = _run
cli.add_command(run)
