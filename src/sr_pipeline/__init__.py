"""Enlarge pictures by 4 with a super-resolution GAN, and the pipeline that trains, measures and registers it.

>>> import sr_pipeline
>>> import numpy as np
>>> sr_pipeline.upscale(np.zeros((24, 32, 3), np.uint8)).shape
(96, 128, 3)

For many pictures, open a generator once and pass it on:

>>> model = sr_pipeline.load_model("fidelity")
>>> large = [sr_pipeline.upscale(np.full((24, 24), value, np.uint8), model) for value in (50, 100)]

Importing this package loads nothing else; NumPy and what computes are loaded when they are first used.
"""

import os

__version__ = "0.2.0"

__all__ = ["UpscaledFile", "Upscaler", "UserError", "load_model", "upscale", "upscale_file"]

# Read once, when TensorFlow is imported. Its greetings and its search for GPU libraries are logged down to
# level ERROR; what really fails comes as a Python exception.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TYPE_CHECKING = False  # typing's takes 5 ms to import; type checkers go by the name
if TYPE_CHECKING:
    from sr_pipeline.api import UpscaledFile, Upscaler, UserError, load_model, upscale, upscale_file
else:  # hidden from type checkers, which would take every name for one of this module

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from sr_pipeline import api

        value = globals()[name] = getattr(api, name)
        return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
