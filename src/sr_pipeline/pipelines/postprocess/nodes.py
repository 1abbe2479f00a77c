"""The node that matches the histograms of a folder of enlarged pictures to their inputs."""

import logging
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.matching import match
from sr_pipeline.evaluation.parameters import PostprocessParameters
from sr_pipeline.pictures.opening import picture_files
from sr_pipeline.pictures.photographs import UnusablePictureError, read_rgb

log = logging.getLogger(__name__)


def match_folder(parameters: PostprocessParameters) -> dict[str, Callable[[], Image.Image]]:
    """Each picture of a folder with the histogram of its input; computed when saved, one after the other.

    A picture's input is the file of the same name, whatever its ending, in the folder of inputs. Pictures without
    one, and unusable files, are named in the log and left out.

    Raises:
        UserError: if a folder is not set or not there, or nothing is left to match.
    """
    pictures, inputs = _folder("pictures", parameters.pictures), _folder("inputs", parameters.inputs)
    references, tasks = _by_name(inputs), {}
    for name, file in _by_name(pictures).items():
        reference = references.get(name)
        problem = "has no input" if reference is None else _problem(file) or _problem(reference)
        if reference is None or problem:
            log.warning("%s is left out: %s", file, problem)
        else:
            tasks[name] = _task(file, reference, parameters)
    if not tasks:
        raise UserError(f"none of the pictures in {pictures} has a usable input of the same name in {inputs}")
    return tasks


def _task(file: Path, reference: Path, parameters: PostprocessParameters) -> Callable[[], Image.Image]:
    return lambda: Image.fromarray(match(read_rgb(file), read_rgb(reference), parameters.matching))


def _folder(name: str, folder: Path | None) -> Path:
    if folder is None:
        raise UserError(f"postprocess.{name} is not set; give the folder with --params=postprocess.{name}=<folder>")
    if not folder.is_dir():
        raise UserError(f"postprocess.{name}: there is no folder {folder}")
    return folder


def _by_name(folder: Path) -> dict[str, Path]:
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in sorted(picture_files(folder))}


def _problem(file: Path) -> str | None:
    try:
        read_rgb(file)
    except (OSError, UnusablePictureError) as error:
        return f"{file.name}: {error}"
    return None
