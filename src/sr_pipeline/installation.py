"""What is not installed here, in one line that says how to get it or which system to use instead.

The base installation enlarges pictures, on every system; all else is an extra, as in
``pip install "sr-pipeline[pipeline]"``. Some packages of the pipeline have no release for Windows and for Macs with
Intel processors.
"""

import importlib.util
import platform

from sr_pipeline.errors import UserError

CROPS = ("array_record",)
"""What writing and reading crops needs."""

TRAINING = ("array_record", "grain", "tensorflow")
"""What training needs."""

EXTRAS = {"fastapi": "app", "starlette": "app", "uvicorn": "app", "openvino": "openvino", "flip_evaluator": "flip"}
"""The extra that brings a module of another package; those not named here come with ``pipeline``."""


def missing_package(error: ModuleNotFoundError) -> UserError:
    """What the user of a command can do about a module that is not there.

    Raises:
        ModuleNotFoundError: ``error``, if the module is of this package, whose fault it then is.
    """
    module = (error.name or "").partition(".")[0]
    if module in ("", "sr_pipeline"):
        raise error
    if module in (*TRAINING, "keras"):
        return unavailable(module)
    extra = EXTRAS.get(module, "pipeline")
    return UserError(f'this needs the package {module}, which is not installed: pip install "sr-pipeline[{extra}]"')


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
    if platform.system() == "Windows":
        return _runs_elsewhere(
            "Windows, for which array-record has", "WSL2 (Windows Subsystem for Linux) or a container"
        )
    if platform.system() == "Darwin" and platform.machine() == "x86_64":
        return _runs_elsewhere("Macs with Intel processors, for which array-record and tensorflow have", "a container")
    names = " and ".join(package.replace("_", "-") for package in packages)
    return UserError(f'the pipeline needs {names}, not installed here: pip install "sr-pipeline[pipeline]"')


def _runs_elsewhere(reason: str, where: str) -> UserError:
    """Other packages are not installed there either: see the markers in pyproject.toml."""
    return UserError(
        f"the pipeline does not run on {reason} no release: run it in {where}, with Linux; "
        "enlarging pictures works here"
    )
