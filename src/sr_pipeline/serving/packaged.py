"""The generators that come with this package, so that pictures can be enlarged right after its installation."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from sr_pipeline.errors import UserError

FOLDER = Path(__file__).parents[1] / "weights"


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
"""By name; docs/models.md describes them, and how they were made."""


def packaged_file(name: str) -> Path:
    """The ``.keras`` file of a generator of ``PACKAGED``.

    Raises:
        UserError: if it is not the file that was packaged.
    """
    path = FOLDER / f"{name}.keras"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); install sr-pipeline again") from error
    if digest != PACKAGED[name].sha256:
        raise UserError(f"{path} is damaged: its SHA-256 is {digest}, not as packaged; install sr-pipeline again")
    return path
