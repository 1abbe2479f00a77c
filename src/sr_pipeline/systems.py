"""Packages that the pipeline needs, and systems for which some of them have no release.

Enlarging pictures needs none of them, and works on Windows and on Macs with Intel processors, too.
"""

import importlib.util
import platform

from sr_pipeline.errors import UserError

CROPS = ("array_record",)
"""What writing and reading crops needs."""

TRAINING = ("array_record", "grain", "tensorflow")
"""What training needs."""


def require(*packages: str) -> None:
    """Check that packages, by the names they are imported by, can be imported here; none is.

    Raises:
        UserError: if one cannot; it says what to install, or which system to use instead.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise unavailable(*missing)


def unavailable(*packages: str) -> UserError:
    """What to tell a user whose system or installation lacks these packages."""
    names = " and ".join(package.replace("_", "-") for package in packages)
    have = "has" if len(packages) == 1 else "have"
    system, instead = _system_without_releases()
    if system:
        return UserError(
            f"the pipeline needs {names}, which {have} no release for {system}: run it in {instead}; "
            "enlarging pictures works here"
        )
    return UserError(f'the pipeline needs {names}, not installed here: pip install "sr-pipeline[pipeline]"')


def _system_without_releases() -> tuple[str, str]:
    """This system if it is one of those, and what runs the pipeline on the same machine; empty otherwise."""
    if platform.system() == "Windows":
        return "Windows", "WSL2 (Windows Subsystem for Linux) or a Linux container"
    if platform.system() == "Darwin" and platform.machine() == "x86_64":
        return "Macs with Intel processors", "a Linux container or on another machine"
    return "", ""
