"""Write the weights of other authors' networks that ship with this package: in 16 bits, with their attribution.

``python -m benchmarks.package_weights vgg19.weights.h5 lpips_alex.npz`` takes the weights of
``keras.applications.VGG19(include_top=False)`` and those of LPIPS-Alex 0.1 (``conv<i>/kernel``, ``conv<i>/bias``,
``lin<i>``), and prints the hashes for ``sr_pipeline/packaged.py``. Equal weights give equal bytes.
"""

import argparse
import hashlib
from pathlib import Path

import click
import h5py
import numpy as np
from numpy.typing import NDArray

from sr_pipeline.networks.parameters import VGG19_CONVOLUTIONS
from sr_pipeline.packaged import FOLDER, LPIPS_ALEX, VGG19

_VGG19_SOURCE = (
    "First four convolutions of VGG19, trained on ImageNet by K. Simonyan and A. Zisserman (Visual Geometry Group, "
    "University of Oxford; 'Very Deep Convolutional Networks for Large-Scale Image Recognition', 2015), in Keras' "
    "order of axes, rounded to 16 bits. Licence: CC BY 4.0, https://creativecommons.org/licenses/by/4.0/"
)
_LPIPS_SOURCE = (
    "LPIPS 0.1 with AlexNet: linear weights by R. Zhang, P. Isola, A. A. Efros, E. Shechtman and O. Wang ('The "
    "Unreasonable Effectiveness of Deep Features as a Perceptual Metric', 2018; BSD 2-Clause), convolutions of "
    "torchvision's AlexNet, trained on ImageNet (A. Krizhevsky 2014; torchvision is BSD 3-Clause), rounded to 16 bits."
)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vgg19", type=Path)
    parser.add_argument("lpips", type=Path)
    arguments = parser.parse_args()
    _write(VGG19, _first_convolutions(arguments.vgg19), _VGG19_SOURCE)
    with np.load(arguments.lpips) as arrays:
        _write(LPIPS_ALEX, dict(arrays), _LPIPS_SOURCE)


def _first_convolutions(file: Path) -> dict[str, NDArray]:
    """Kernels and biases by Keras' names of the layers, up to the last that is packaged."""
    arrays = {}
    with h5py.File(file) as weights:
        for name in VGG19_CONVOLUTIONS:
            for part, index in (("kernel", "0"), ("bias", "1")):
                arrays[f"{name}/{part}"] = np.asarray(weights[f"layers/{_stored_name(name)}/vars/{index}"])
    return arrays


def _stored_name(name: str) -> str:
    """Keras numbers the convolutions of a file in their order."""
    position = VGG19_CONVOLUTIONS.index(name)
    return f"conv2d_{position}" if position else "conv2d"


def _write(name: str, arrays: dict[str, NDArray], source: str) -> None:
    file = FOLDER / f"{name}.npz"
    halved = {key: array.astype(np.float16) for key, array in arrays.items()}
    np.savez(file, allow_pickle=False, attribution=np.array(source), **halved)
    click.echo(f"{name}: {file.stat().st_size / 1e6:.1f} MB, SHA-256 {hashlib.sha256(file.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
