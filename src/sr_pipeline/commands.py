"""The console script ``sr-pipeline``. Commands import what they need when they run, so that ``--help`` is quick."""

import sys
from pathlib import Path
from typing import NoReturn

import click

from sr_pipeline.errors import UserError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sr-pipeline")
def cli() -> None:
    """Work with what sr-pipeline made. Trainings and evaluations are started with kedro run."""


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("comparison.png"),
    show_default=True,
    help="Where the picture goes.",
)
@click.option("--overwrite", is_flag=True, help="Replace the picture if it is there.")
def compare(runs: tuple[str, ...], output: Path, overwrite: bool) -> None:
    """Print and draw MLflow runs side by side.

    RUN is the id of a run, the beginning of one, or a run's name (then the newest of that name). Runs are looked up in
    the store of this project folder, or in the one that MLFLOW_TRACKING_URI names.
    """
    from sr_pipeline.comparison import compare_runs

    if output.exists() and not overwrite:
        raise UserError(f"{output} is there already; name another file with -o, or add --overwrite")
    click.echo(compare_runs(list(runs), output))
    click.echo(f"\npicture: {output}")


@cli.command()
@click.argument("version", required=False)
@click.option("--rollback", is_flag=True, help="Make the champion before the present one champion again.")
@click.option("--model", "model_name", default="sr-generator", show_default=True, help="Name of the registered model.")
def promote(version: str | None, rollback: bool, model_name: str) -> None:
    """Make a registered VERSION the champion, or go back to the one before.

    The champion is what models:/sr-generator@champion means to all who use it.
    """
    from sr_pipeline import registry
    from sr_pipeline.tracking import open_store

    if (version is None) == (not rollback):
        raise click.UsageError("name either a VERSION or --rollback")
    client = open_store()
    click.echo(
        registry.roll_back(client, model_name) if version is None else registry.promote(client, model_name, version)
    )


def main() -> NoReturn:
    """Run the command line; what the user can mend becomes one line and exit code 1."""
    try:
        cli(standalone_mode=True)
    except UserError as error:
        click.echo(f"Error: {' '.join(str(error).split())}", err=True)
        sys.exit(1)
    sys.exit(0)
