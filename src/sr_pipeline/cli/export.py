"""``sr-pipeline export``: a generator as a file for other programs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from sr_pipeline.errors import UserError
from sr_pipeline.inference.models import DEFAULT


@click.command()
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--model", default=DEFAULT, show_default=True, help="As for upscale.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it exists.")
def export(output: Path, model: str, overwrite: bool) -> None:
    """Write a generator as FILE: .onnx, for programs that know neither Keras nor this one, or .keras in 16 bits.

    From pictures (n, h, w, 3) between 0 and 1 to (n, 4h, 4w, 3) between -1 and 1, of any size from 5x5. The .onnx file
    clips its result; that of the .keras file, half as large as the one that training writes, may lie beyond and has to
    be clipped.
    """
    from sr_pipeline.storage import atomic_write

    if output.exists() and not overwrite:
        raise UserError(f"{output} exists already; name another file, or add --overwrite")
    write = _exporter(output.suffix, model)
    try:
        with atomic_write(output) as unfinished:
            write(unfinished)
    except OSError as error:
        raise UserError(f"{output} cannot be written ({error.strerror})") from error
    click.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


def _exporter(suffix: str, model: str) -> Callable[[Path], None]:
    from sr_pipeline.inference.folding import read_folded
    from sr_pipeline.packaged import generator_file
    from sr_pipeline.tracking.model_names import resolve_model

    if suffix not in (".onnx", ".keras"):
        raise UserError(f"export writes .onnx and .keras files, not {suffix or 'files without an ending'}")
    file = generator_file(resolve_model(model))
    generator = read_folded(file)  # refuses files that are not generators
    if suffix == ".onnx":
        from sr_pipeline.inference.engines.onnx_graph import export_onnx

        return partial(export_onnx, generator)
    from sr_pipeline.datasets.keras_generators import save_halved

    return partial(save_halved, file)
