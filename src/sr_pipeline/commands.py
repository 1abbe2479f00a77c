"""The console script ``sr-pipeline``. Commands import what they need when they run, so that ``--help`` is quick."""

import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import click

from sr_pipeline import __version__
from sr_pipeline.errors import UserError
from sr_pipeline.extras import missing_package
from sr_pipeline.packaged import PACKAGED
from sr_pipeline.serving.models import DEFAULT


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
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


@cli.command()
@click.argument("inputs", nargs=-1, required=True, metavar="PICTURE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for the results, or the file for a single one. [default: beside the picture, with _x4 in its name]",
)
@click.option(
    "--model",
    default=DEFAULT,
    show_default=True,
    help=f"One of this package ({', '.join(PACKAGED)}), a .keras file, or an alias or version of the registered model, "
    "which this project folder or MLFLOW_TRACKING_URI holds.",
)
@click.option("--match-histogram", is_flag=True, help="Give the result the colours' histograms of the picture.")
@click.option(
    "--format",
    "format_name",
    type=click.Choice(["png", "jpeg", "webp", "tiff", "avif"]),
    help="Of the results. [default: the picture's own, or PNG where that is not written]",
)
@click.option(
    "--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Of JPEG, WebP and AVIF results."
)
@click.option(
    "--tile", type=click.IntRange(1), help="Edge in pixels of what is computed at once; less takes less memory."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "openvino", "openvino-bfloat16", "onnx", "tensorflow", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="What computes: OpenVINO, ONNX Runtime, or TensorFlow, which is also meant by a precision alone. auto is the "
    "fastest that is installed, whatever there is to do.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON, for programs.")
def upscale(
    inputs: tuple[str, ...],
    output: Path | None,
    model: str,
    format_name: str | None,
    tile: int | None,
    engine: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Enlarge pictures by 4: files, folders with all pictures below, or patterns such as "*.jpg".

    Gray stays gray, transparency stays, 16 bits stay 16 bits; colour profile and EXIF come along. One picture that
    cannot be enlarged is told of, and the others are done; the exit code is then 1.
    """
    from sr_pipeline.serving.batch import Batch, enlarge_all
    from sr_pipeline.serving.enlargement import Options
    from sr_pipeline.serving.jobs import plan
    from sr_pipeline.serving.models import open_model

    jobs = plan(list(inputs), output, format_name)
    batch = Batch(jobs, Options(**options), as_json=as_json)
    try:
        done = enlarge_all(batch, lambda: open_model(model, engine, tile))
    except KeyboardInterrupt:
        click.echo("Interrupted; results that were told of are whole, and nothing else was written", err=True)
        sys.exit(128 + signal.SIGINT)
    sys.exit(0 if done else 1)


@cli.command()
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--model", default=DEFAULT, show_default=True, help="As of upscale.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
def export(output: Path, model: str, overwrite: bool) -> None:
    """Write a generator as FILE: .onnx, for programs that know neither Keras nor this one, or .keras in 16 bits.

    From pictures (n, h, w, 3) between 0 and 1 to (n, 4h, 4w, 3) between -1 and 1, of any size from 5x5. The .keras file
    is half as large as the one that training writes.
    """
    from sr_pipeline.storage import written_whole

    if output.exists() and not overwrite:
        raise UserError(f"{output} is there already; name another file, or add --overwrite")
    write = _exporter(output.suffix, model)
    try:
        with written_whole(output) as unfinished:
            write(unfinished)
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror})") from error
    click.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


def _exporter(suffix: str, model: str) -> Callable[[Path], None]:
    from sr_pipeline.serving.folding import read_folded
    from sr_pipeline.serving.models import model_file

    if suffix not in (".onnx", ".keras"):
        raise UserError(f"export writes .onnx and .keras files, not {suffix or 'files without an ending'}")
    file = model_file(model)
    generator = read_folded(file)  # which refuses what is no generator
    if suffix == ".onnx":
        from sr_pipeline.serving.onnx_graph import export_onnx

        return partial(export_onnx, generator)
    from sr_pipeline.datasets.keras_generators import save_halved

    return partial(save_halved, file)


@cli.command()
@click.option("--model", default=DEFAULT, show_default=True, help="The model that is offered first, as of upscale.")
@click.option("--port", type=click.IntRange(0, 65535), default=7860, show_default=True, help="0: any that is free.")
@click.option("--open/--no-open", "open_browser", default=True, help="Open the page in the browser.")
def app(model: str, port: int, open_browser: bool) -> None:
    """Enlarge pictures in the browser: a page on this machine, for this machine alone."""
    from sr_pipeline.serving.web import serve

    serve(model, port, open_browser=open_browser)


def main() -> NoReturn:
    """Run the command line; what the user can mend becomes one line and exit code 1."""
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
