"""The console script ``sr-pipeline``. Commands import what they need when they run, so that ``--help`` is quick."""

import sys
from typing import NoReturn

import click

from sr_pipeline import __version__
from sr_pipeline.cli.app import app
from sr_pipeline.cli.compare import compare
from sr_pipeline.cli.export import export
from sr_pipeline.cli.promote import promote
from sr_pipeline.cli.run import run
from sr_pipeline.cli.upscale import upscale
from sr_pipeline.errors import UserError
from sr_pipeline.installation import missing_package


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Enlarge pictures, train and evaluate generators, and work with what trainings made."""


for _command in (upscale, app, run, compare, promote, export):
    cli.add_command(_command)


def main() -> NoReturn:
    """Run the command line; what the user can fix becomes one line and exit code 1."""
    try:
        _run()
    except UserError as error:
        click.echo(f"Error: {' '.join(str(error).split())}", err=True)
        sys.exit(1)
    sys.exit(0)


def _run() -> None:
    try:
        cli(standalone_mode=True)
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
