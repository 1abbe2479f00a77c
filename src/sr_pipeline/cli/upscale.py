"""``sr-pipeline upscale``: enlarge picture files."""

import signal
import sys
from pathlib import Path
from typing import Any

import click

from sr_pipeline.inference.models import DEFAULT
from sr_pipeline.packaged import PACKAGED


@click.command()
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
@click.option(
    "--match-histogram", is_flag=True, help="Match the colour histograms of the result to those of the picture."
)
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
    "--tile",
    type=click.IntRange(1),
    help="Edge in pixels of the tiles that are computed at once; smaller ones take less memory.",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "openvino", "openvino-bfloat16", "onnx", "tensorflow", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="What computes: OpenVINO, ONNX Runtime, or TensorFlow, which is also meant by a precision alone. auto is the "
    "fastest that is installed, whatever there is to do.",
)
@click.option("--overwrite", is_flag=True, help="Replace results that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON, for programs.")
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

    Gray stays gray, transparency stays, 16 bits stay 16 bits; colour profile and EXIF are kept. A picture that
    cannot be enlarged is reported, and the others are done; the exit code is then 1.
    """
    from sr_pipeline.cli.batch import Batch, enlarge_all
    from sr_pipeline.cli.file_plan import plan
    from sr_pipeline.inference.enlargement import Options
    from sr_pipeline.inference.models import open_model
    from sr_pipeline.tracking.model_names import resolve_model

    jobs, earlier_results = plan(list(inputs), output, format_name)
    if earlier_results:
        click.echo(f"left out: {earlier_results} results of earlier runs", err=True)
    batch = Batch(jobs, Options(**options), as_json=as_json)
    try:
        done = enlarge_all(batch, lambda: open_model(resolve_model(model), engine, tile))
    except KeyboardInterrupt:
        click.echo("Interrupted; reported results are complete, and nothing else was written", err=True)
        sys.exit(128 + signal.SIGINT)
    sys.exit(0 if done else 1)
