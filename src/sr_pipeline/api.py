"""The Python API: what ``import sr_pipeline`` offers.

All of it may be used from several threads at once, with one generator for all.
"""

from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.inference.enlargement import Options, enlarge, enlarge_file
from sr_pipeline.inference.models import DEFAULT, open_model
from sr_pipeline.inference.upscaler import Upscaler
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.packaged import generator_file
from sr_pipeline.pictures.metadata import Metadata
from sr_pipeline.pictures.opening import SRGB_MODES, Pixels, as_alpha, pixels_of
from sr_pipeline.pictures.reading import Picture
from sr_pipeline.pictures.writing import SUFFIXES, format_of
from sr_pipeline.tracking.model_names import resolve_model

__all__ = ["UpscaledFile", "Upscaler", "UserError", "load_model", "upscale", "upscale_file"]

_Value = TypeVar("_Value", bound=np.generic)
_KEPT_INFO = ("icc_profile", "exif", "dpi")  # of a Pillow picture
_opening = Lock()


class UpscaledFile(NamedTuple):
    """What ``upscale_file`` wrote.

    Attributes:
        path: of the file.
        width: in pixels.
        height: in pixels.
        seconds: that it took.
        left_out: what of the picture's metadata was damaged or does not fit the format, in words that follow "without
            its", such as ``"EXIF, which is damaged"``.
    """

    path: Path
    width: int
    height: int
    seconds: float
    left_out: tuple[str, ...] = ()


def load_model(model: str | Path = DEFAULT, *, engine: str = "auto", tile: int | None = None) -> Upscaler:
    """Open a generator.

    Args:
        model: a generator of this package, ``"perceptual"`` or ``"fidelity"``; a ``.keras`` file; or, with the extra
            ``pipeline``, an alias or version of the registered model, such as ``"champion"`` or ``"3"``, or any
            ``models:/…``.
        engine: what computes: ``"auto"`` (the fastest that is installed), ``"openvino"``, ``"openvino-bfloat16"``,
            ``"onnx"``, ``"tensorflow"``, or ``"float32"`` or ``"bfloat16"``, which are TensorFlow's.
        tile: edge in pixels of what is computed at once; less takes less memory. None: what is fastest.

    Returns:
        The generator, for ``upscale`` and ``upscale_file``. Several threads may use it at once.

    Raises:
        UserError: if there is no such generator, the engine is not available here, or the tile is too small.

    Examples:
        >>> import sr_pipeline
        >>> sr_pipeline.load_model("fidelity", engine="onnx")
        <Upscaler: ONNX Runtime, float32>
    """
    with _opening:
        return open_model(resolve_model(str(model)), engine, tile)


@overload
def upscale(
    picture: NDArray[_Value], model: str | Path | Upscaler = DEFAULT, *, match_histogram: bool = False
) -> NDArray[_Value]: ...


@overload
def upscale(
    picture: Image.Image, model: str | Path | Upscaler = DEFAULT, *, match_histogram: bool = False
) -> Image.Image: ...


def upscale(picture: Any, model: str | Path | Upscaler = DEFAULT, *, match_histogram: bool = False) -> Any:
    """Enlarge a picture by 4 in each direction.

    Args:
        picture: a NumPy array of shape (h, w) for gray, (h, w, 3) for RGB or (h, w, 4) for RGBA, whose values are
            uint8 (0 to 255), uint16 (0 to 65535) or floating (0 to 1); or a Pillow picture.
        model: what ``load_model`` returned, or a name as it takes. For many pictures, open it once.
        match_histogram: give the result the histograms of the picture, channel by channel.

    Returns:
        The same kind: an array of four times the height and width, with the same type and channels; or a Pillow
        picture of the same mode. Those with a palette become RGB or RGBA, those with one bit L, CMYK and Lab become
        RGB in sRGB. ``info`` keeps the colour profile, EXIF and resolution; pixels are not turned.

    Raises:
        TypeError: if ``picture`` is neither, or an array of other values.
        ValueError: if an array has another shape, no pixels, or floating values beyond 0 to 1.
        UserError: if ``model`` cannot be opened, or a Pillow picture cannot be read.

    Examples:
        >>> import numpy as np
        >>> import sr_pipeline
        >>> gray = np.random.default_rng(0).uniform(size=(20, 30)).astype(np.float32)
        >>> large = sr_pipeline.upscale(gray, "fidelity")
        >>> large.shape, large.dtype
        ((80, 120), dtype('float32'))

        >>> from PIL import Image
        >>> sr_pipeline.upscale(Image.new("RGBA", (30, 20), "teal")).size
        (120, 80)
    """
    if isinstance(picture, Image.Image):
        return _upscale_image(picture, model, match_histogram=match_histogram)
    if isinstance(picture, np.ndarray):
        return _upscale_array(picture, model, match_histogram=match_histogram)
    advice = "; for a file there is upscale_file" if isinstance(picture, str | Path) else ""
    raise TypeError(f"upscale takes a NumPy array or a Pillow picture, not {type(picture).__name__}{advice}")


def upscale_file(
    source: str | Path,
    target: str | Path,
    model: str | Path | Upscaler = DEFAULT,
    *,
    match_histogram: bool = False,
    quality: int = 95,
    overwrite: bool = False,
) -> UpscaledFile:
    """Enlarge a picture file by 4, as ``sr-pipeline upscale`` does.

    Gray stays gray, transparency stays, 16 bits stay 16 bits; colour profile and EXIF come along; pixels are turned
    as EXIF says. The file appears whole or not at all.

    Args:
        source: a picture file of at most 25 megapixels.
        target: the file to write. Its ending says the format: .png, .jpg, .webp, .tif or .avif. Its folder is made.
        model: what ``load_model`` returned, or a name as it takes. For many pictures, open it once.
        match_histogram: give the result the histograms of the picture, channel by channel.
        quality: 1 to 100, of JPEG, WebP and AVIF.
        overwrite: replace the file if it is there.

    Raises:
        ValueError: if ``quality`` is out of range.
        UserError: if the model cannot be opened, the source cannot be read, or the target cannot be written or cannot
            hold the result, such as JPEG transparency.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> import sr_pipeline
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (30, 20), "teal").save(folder / "small.png")
        >>> done = sr_pipeline.upscale_file(folder / "small.png", folder / "large.jpg")
        >>> done.path.name, done.width, done.height
        ('large.jpg', 120, 80)
    """
    source, target = Path(source), Path(target)
    if not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality}; choose one from 1 to 100")
    if format_of(target) is None:
        raise UserError(f"{target} names no format that is written; let it end with {', '.join(SUFFIXES.values())}")
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists already; pass overwrite=True to replace it")
    options = Options(quality, match_histogram, overwrite)
    upscaler = _opened(model)
    try:
        done = enlarge_file(source, target, upscaler, options, _ignore_progress)
    except UserError as error:
        raise UserError(f"{source} {error}") from error
    return UpscaledFile(target, *done.size, done.seconds, tuple(done.left_out))


def _ignore_progress(done: int, total: int) -> None:
    pass


def _opened(model: str | Path | Upscaler) -> Upscaler:
    """The generator itself, or that of a name: kept open, unless its file has changed."""
    if isinstance(model, Upscaler):
        return model
    if not isinstance(model, str | Path):
        raise TypeError(f"model is a {type(model).__name__}; pass a name, a file, or what load_model returned")
    with _opening:
        file = generator_file(resolve_model(str(model)))
        return _kept_open(file, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=2)
def _kept_open(file: Path, changed: int) -> Upscaler:
    return open_model(file)


def _upscale_array(picture: NDArray[Any], model: str | Path | Upscaler, *, match_histogram: bool) -> NDArray[Any]:
    if picture.ndim not in (2, 3) or picture.shape[2:] not in ((), (3,), (4,)):
        raise ValueError(f"the picture has the shape {picture.shape}; pass (h, w), (h, w, 3) or (h, w, 4)")
    if picture.size == 0:
        raise ValueError(f"the picture has no pixels: its shape is {picture.shape}")
    pixels = picture.astype(picture.dtype.newbyteorder("="), copy=False)
    if np.issubdtype(pixels.dtype, np.floating):
        if not (pixels.min() >= 0 and pixels.max() <= 1):  # nor NaN
            raise ValueError(
                f"the picture has values from {pixels.min()} to {pixels.max()}; floats have to be in [0, 1]"
            )
    elif pixels.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"the picture is of {pixels.dtype}; pass uint8, uint16, or floats in [0, 1]")
    transparent = pixels.shape[2:] == (4,)
    alpha = as_alpha(pixels[..., 3]) if transparent else None
    colour = pixels[..., :3] if pixels.ndim == 3 else pixels
    enlarged = _enlarged(Picture(colour, alpha, Metadata()), _opened(model), transparent, match_histogram)
    return enlarged if picture.ndim == 3 else enlarged[..., 0]


def _upscale_image(picture: Image.Image, model: str | Path | Upscaler, *, match_histogram: bool) -> Image.Image:
    try:
        picture.load()
        colour, alpha = pixels_of(picture)
    except UserError as error:
        raise UserError(f"the picture {error}") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"the picture cannot be read ({error})") from error
    if colour.size == 0:
        raise ValueError(f"the picture has no pixels: its size is {picture.width}x{picture.height}")
    transparent = picture.has_transparency_data and colour.dtype == np.uint8
    enlarged = _enlarged(Picture(colour, alpha, Metadata()), _opened(model), transparent, match_histogram)
    result = Image.fromarray(enlarged[..., 0] if enlarged.shape[2] == 1 else enlarged)
    if picture.mode in ("I", "YCbCr"):
        result = result.convert(picture.mode)
    converted = picture.mode in SRGB_MODES
    kept = [key for key in _KEPT_INFO if not (converted and key == "icc_profile")]
    result.info.update({key: picture.info[key] for key in kept if key in picture.info})
    return result


def _enlarged(picture: Picture, model: Upscaler, transparent: bool, match_histogram: bool) -> Pixels:
    """(4h, 4w, channels), the last of them alpha if ``transparent``."""
    dtype, (width, height) = picture.colour.dtype, picture.size
    channels = (1 if picture.colour.ndim == 2 else 3) + transparent
    pixels = np.empty((SCALE * height, SCALE * width, channels), dtype)
    if transparent and picture.alpha is None:
        pixels[..., -1] = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    enlarge(picture, pixels, model, _ignore_progress, match_histogram=match_histogram)
    return pixels
