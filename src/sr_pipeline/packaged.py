"""The weights that come with this package: generators to enlarge with, and networks that training and measuring need.

Each file's hash is checked when it is read. This module needs the standard library alone.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

from sr_pipeline.errors import UserError

FOLDER = Path(__file__).parent / "weights"


class Packaged(NamedTuple):
    """A generator of this package.

    Attributes:
        title: what it is good for, in a few words.
        sha256: of its file.
    """

    title: str
    sha256: str


PACKAGED = {
    "perceptual": Packaged("sharper", "5fa164cd0f45362e1f19639437e07caa95c1850f4bd6b38d266540b36c4890cd"),
    "fidelity": Packaged("close to the original", "a6ae6964510a0344ccea53da9099231fb0bb764dbedeb51366d64dda282eb6a2"),
}
"""Generators by name; docs/models.md describes them, and how they were made."""

VGG19, LPIPS_ALEX, NIQE = "vgg19_block2_conv2", "lpips_alex", "niqe"
_NETWORKS = {
    VGG19: "c468e2858ae4fd400a11594f07cf8aaaf17521702ca7fd356bc292acb6889941",
    LPIPS_ALEX: "d724e54131885e42350f5878ce0ac292970eaaab9bdce8742a7046709f6b7dc5",
    NIQE: "3bd9a6f96296f4553d057e27b834b94d2379e73eb5766508c4c2d4d50f2fdb9d",
}
"""SHA-256 of the files of other networks' weights; docs/models.md says how they were made."""


def packaged_file(name: str) -> Path:
    """The ``.keras`` file of a generator of ``PACKAGED``.

    Raises:
        UserError: if it is not the file that was packaged.
    """
    return _checked(FOLDER / f"{name}.keras", PACKAGED[name].sha256)


def packaged_weights(name: str) -> Path:
    """The ``.npz`` file of ``VGG19``'s first four convolutions, of ``LPIPS_ALEX``, or of ``NIQE``.

    Raises:
        UserError: if it is not the file that was packaged.
    """
    return _checked(FOLDER / f"{name}.npz", _NETWORKS[name])


def generator_file(name: str | Path) -> Path:
    """The file that ``name`` means: of a generator of ``PACKAGED``, or ``name`` itself as a path.

    Raises:
        UserError: if a packaged file is not as it was packaged.
    """
    return packaged_file(str(name)) if str(name) in PACKAGED else Path(name)


def weights_file(weights: str | Path, name: str) -> Path:
    """The file that ``weights`` means: ``packaged`` for ``VGG19`` or ``LPIPS_ALEX``, as ``name`` says, or a path.

    Raises:
        UserError: if a packaged file is not as it was packaged.
    """
    return packaged_weights(name) if weights == "packaged" else Path(weights)


def _checked(path: Path, sha256: str) -> Path:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); install sr-pipeline again") from error
    if digest != sha256:
        raise UserError(f"{path} is damaged: its SHA-256 is {digest}, not as packaged; install sr-pipeline again")
    return path
