"""Whether a file of weights can be that of the network it is named for; quick, and importable without TensorFlow.

It is looked at before anything runs, where hours may lie between the start and its first use.
"""

import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from sr_pipeline.networks.parameters import VGG19_BLOCKS

_LPIPS = [f"conv{i}/{part}" for i in range(5) for part in ("kernel", "bias")] + [f"lin{i}" for i in range(5)]


def vgg19_fault(file: Path) -> str | None:
    """Why a ``.weights.h5`` file cannot be that of VGG19 without top; None if it can."""
    import h5py

    kernels: Counter[tuple[int, ...]] = Counter()

    def count(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and len(item.shape) == 4:
            kernels[item.shape] += 1

    try:
        with h5py.File(file) as content:
            content.visititems(count)
    except OSError as error:
        return str(error).partition("\n")[0]
    missing = _vgg19_kernels() - kernels
    return f"{missing.total()} of its 16 convolutions are missing" if missing else None


def lpips_fault(file: Path) -> str | None:
    """Why an ``.npz`` file cannot be that of LPIPS-Alex; None if it can."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            missing = [name for name in _LPIPS if name not in arrays]
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        return str(error).partition("\n")[0]
    return f"{missing[0]} is missing" if missing else None


def _vgg19_kernels() -> Counter[tuple[int, ...]]:
    shapes: list[tuple[int, ...]] = []
    channels = 3
    for convolutions, filters in VGG19_BLOCKS:
        for _ in range(convolutions):
            shapes.append((3, 3, channels, filters))
            channels = filters
    return Counter(shapes)
