"""``sr-pipeline compare``: MLflow runs side by side."""

from pathlib import Path

import click

from sr_pipeline.errors import UserError


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("comparison.png"),
    show_default=True,
    help="Where the picture goes.",
)
@click.option("--overwrite", is_flag=True, help="Replace the picture if it exists.")
def compare(runs: tuple[str, ...], output: Path, overwrite: bool) -> None:
    """Print and draw MLflow runs side by side.

    RUN is the id of a run, the beginning of one, or a run's name (then the newest of that name). Runs are looked up in
    the store of this project folder, or in the one that MLFLOW_TRACKING_URI names.
    """
    from sr_pipeline.tracking.comparison import compare_runs

    if output.exists() and not overwrite:
        raise UserError(f"{output} exists already; name another file with -o, or add --overwrite")
    click.echo(compare_runs(list(runs), output))
    click.echo(f"\npicture: {output}")
