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
    "perceptual": Packaged("sharper", "16779cfe8829141f1917597a1833ba82f3968b4d9883f740f6d6747a8b73d3a8"),
    "fidelity": Packaged("close to the original", "709af5d4d0702a6ebfbc326e548e4894437937e863e5fc67e2d9d3e5e5e1612f"),
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
