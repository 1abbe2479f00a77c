"""Does a generator add patterns to the pictures it enlarges?

    python -m benchmarks.texture src/sr_pipeline/weights/*.keras --pictures data/01_raw/benchmarks/Set5

One row for each generator, and one for the photographs themselves, of means over the pictures:

- grid: standard deviation, in grey levels, of the means at the 16 positions of the 4x4 pixels made of one, in flat
  areas.
- hatch: the largest excess over the photographs' power, in dB, along the axes of the spectrum, at periods of 2.1 to 3.6
  pixels. Photographs: 0.
- positions: least and greatest energy of detail (what a Gaussian of one pixel takes away) at the 16 positions, relative
  to their mean. Photographs: close to 1.
- repeats: correlation of detail with itself four pixels away, where there is most of it, less that of the photographs.
  Dots and lines every four pixels make it grow.
"""

from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sr_pipeline.imaging.metrics import luma
from sr_pipeline.imaging.resample import crop_to_multiple, downsample
from sr_pipeline.inference.engines import choose_engine
from sr_pipeline.inference.folding import read_folded
from sr_pipeline.inference.upscaler import Upscaler
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.pictures.opening import picture_files
from sr_pipeline.pictures.photographs import read_rgb

_Plane = NDArray[np.float64]
_WINDOW = 32  # pixels of the spectrum's windows
_HATCH = slice(9, 16)  # of the spectrum's frequencies


class Texture(NamedTuple):
    """What is measured of one picture: ``positions`` (4, 4), ``axes`` is power by frequency."""

    grid: float
    positions: _Plane
    repeats: float
    axes: _Plane


def measure(rgb: NDArray[np.uint8]) -> Texture:
    """Measure a picture whose edges are multiples of 4."""
    y = luma(rgb)
    detail = y - ndimage.gaussian_filter(y, 1.0)
    energies = np.array([[np.mean(detail[i::SCALE, j::SCALE] ** 2) for j in range(SCALE)] for i in range(SCALE)])
    return Texture(_grid(y), energies / energies.mean(), _repeats(detail), _power_along_axes(y))


def _grid(y: _Plane) -> float:
    deviation = y - ndimage.uniform_filter(y, 8)
    activity = ndimage.uniform_filter(np.abs(deviation), 16)
    flat = activity <= np.quantile(activity, 0.3)
    means = [deviation[i::SCALE, j::SCALE][flat[i::SCALE, j::SCALE]].mean() for i in range(SCALE) for j in range(SCALE)]
    return float(np.std(means))


def _repeats(detail: _Plane) -> float:
    energy = ndimage.uniform_filter(detail**2, 8)
    strong = energy >= np.quantile(energy, 0.7)
    products = [detail * np.roll(detail, SCALE, axis) for axis in (0, 1)]
    return float(np.mean([product[strong].mean() for product in products]) / (detail[strong] ** 2).mean())


def _power_along_axes(y: _Plane) -> _Plane:
    window = np.outer(np.hanning(_WINDOW), np.hanning(_WINDOW))
    corners = [range(0, edge - _WINDOW + 1, _WINDOW // 2) for edge in y.shape]
    total = np.zeros(_WINDOW // 2)
    for top in corners[0]:
        for left in corners[1]:
            part = y[top : top + _WINDOW, left : left + _WINDOW]
            power = np.abs(np.fft.fft2((part - part.mean()) * window)) ** 2
            total += (power[0, : _WINDOW // 2] + power[: _WINDOW // 2, 0]) / 2
    return total


def _row(name: str, textures: list[Texture], photographs: list[Texture]) -> str:
    positions = np.mean([texture.positions for texture in textures], axis=0)
    ours, theirs = (np.sum([texture.axes for texture in each], axis=0)[_HATCH] for each in (textures, photographs))
    repeats, real = (np.mean([texture.repeats for texture in each]) for each in (textures, photographs))
    return (
        f"{name:32} {np.mean([texture.grid for texture in textures]):6.2f} {10 * np.log10(ours / theirs).max():6.1f} "
        f"{positions.min():6.2f} to {positions.max():.2f} {repeats - real:8.3f}"
    )


@click.command()
@click.argument("models", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--pictures", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(models: tuple[Path, ...], pictures: Path) -> None:
    """Measure the results of MODELS (.keras files) on pictures that were reduced by four."""
    files = sorted(picture_files(pictures))
    if not files:
        raise click.UsageError(f"there are no pictures in {pictures}")
    originals = [crop_to_multiple(read_rgb(file), SCALE) for file in files]
    real = [measure(rgb) for rgb in originals]
    click.echo(f"{'':32} {'grid':>6} {'hatch':>6} {'positions':>14} {'repeats':>8}")
    click.echo(_row("photographs", real, real))
    for model in models:
        upscale = Upscaler(choose_engine(read_folded(model), "float32"))
        made = [measure(upscale(downsample(rgb, SCALE))) for rgb in originals]
        click.echo(_row(str(model)[-32:], made, real))


if __name__ == "__main__":
    main()
