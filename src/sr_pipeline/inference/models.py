"""The generators that pictures can be enlarged with: those of this package, and ``.keras`` files."""

from pathlib import Path
from typing import TYPE_CHECKING

from sr_pipeline.packaged import PACKAGED, generator_file
from sr_pipeline.start_up import no_start_up_lines

if TYPE_CHECKING:
    from sr_pipeline.inference.upscaler import Upscaler


DEFAULT = "perceptual"


def open_model(name: str | Path, engine: str = "auto", tile: int | None = None) -> "Upscaler":
    """A generator, ready to enlarge.

    Args:
        name: of a generator of this package (``PACKAGED``), or a ``.keras`` file. Names of registered models are
            resolved by ``tracking.model_names.resolve_model``.
        engine: what computes: see ``engines.ENGINES``.
        tile: edge in pixels of what is computed at once; None: what is fastest here.

    Raises:
        UserError: if the file is missing or does not hold a generator, or the engine is not available.
    """
    from sr_pipeline.inference.engines import choose_engine
    from sr_pipeline.inference.folding import read_folded
    from sr_pipeline.inference.upscaler import Upscaler

    generator = read_folded(generator_file(name))
    with no_start_up_lines():
        return Upscaler(choose_engine(generator, engine), tile)


def is_registered_name(name: str) -> bool:
    """Whether ``name`` can only be that of a registered model: neither packaged nor a file."""
    is_file = name.endswith(".keras") or (Path(name).is_file() and not name.startswith("models:/"))
    return name not in PACKAGED and not is_file
