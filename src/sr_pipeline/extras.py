"""What is not installed, in one line that says how to get it.

The base installation enlarges pictures; all else is an extra, as in ``pip install "sr-pipeline[pipeline]"``.
"""

from sr_pipeline.errors import UserError
from sr_pipeline.systems import TRAINING, unavailable

EXTRAS = {"fastapi": "app", "starlette": "app", "uvicorn": "app", "openvino": "openvino"}
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
