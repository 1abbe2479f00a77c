"""Which pictures are measured: held-out photographs, and the folders of benchmarks."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.parameters import HELD_OUT, EvaluateParameters
from sr_pipeline.hashing import stable_hash
from sr_pipeline.imaging.metrics import Original, smallest_edge
from sr_pipeline.imaging.resample import crop_to_multiple
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.pictures.opening import picture_files
from sr_pipeline.pictures.photographs import UnusablePictureError, decode_rgb, read_rgb
from sr_pipeline.storage import read_bytes

log = logging.getLogger(__name__)

OK = "ok"
COLUMNS = ("set", "image", "file", "sha256", "gray", "status")
_GRAY_MODES = ("1", "L", "LA", "La")  # and 16-bit gray, "I;16"


class Picture(NamedTuple):
    """An original to be measured on: its set, its name, its file, and whether that is gray."""

    set: str
    image: str
    file: str
    gray: bool = False

    @property
    def key(self) -> str:
        """Set and name: unique among all pictures."""
        return f"{self.set}/{self.image}"

    def original(self, *, raw_gray: bool = False) -> Original:
        """The picture, cut to a multiple of the scale.

        Args:
            raw_gray: score gray pictures on their gray values.

        Raises:
            UserError: if the file is no longer what it was when it was listed.
        """
        try:
            hr = crop_to_multiple(read_rgb(self.file), SCALE)
            return Original(hr, SCALE, raw_gray=raw_gray and self.gray)
        except (OSError, UnusablePictureError, ValueError) as error:
            raise UserError(
                f"{self.file} can no longer be used ({error}); restore it, or run kedro run --pipelines=ingest again"
            ) from error

    def low_resolution(self) -> np.ndarray:
        """The input that is enlarged, (h, w, 3) uint8."""
        return self.original().lr


def pictures_of(listed: pd.DataFrame) -> list[Picture]:
    """The usable ones of ``list_pictures``, set by set."""
    usable = listed[listed["status"] == OK]
    return [Picture(*row) for row in zip(usable["set"], usable["image"], usable["file"], usable["gray"], strict=True)]


def list_pictures(images: pd.DataFrame, parameters: EvaluateParameters, seed: int) -> pd.DataFrame:
    """All pictures of all sets: columns ``COLUMNS``; ``status`` is ``ok`` or why a picture is left out.

    Args:
        images: the image manifest.
        parameters: names the folders of benchmarks.
        seed: of which held-out photographs are taken where they are limited.

    Raises:
        UserError: if a set has no usable picture.
    """
    entries = [*_held_out(images, parameters.max_images, seed)]
    for benchmark, folder in parameters.benchmarks.items():
        entries += _benchmark(benchmark, folder)
    listed = pd.DataFrame(entries, columns=list(COLUMNS))
    for row in listed[listed["status"] != OK].to_dict("records"):
        log.warning("%s of %s is left out: %s", row["file"], row["set"], row["status"])
    for name, group in listed.groupby("set", sort=False):
        if not (group["status"] == OK).any():
            raise UserError(f"none of the {len(group)} pictures of {name} can be measured ({_reasons(group)})")
    return listed


def describe_sets(listed: pd.DataFrame) -> dict[str, dict[str, object]]:
    """What the figures of each set depend on: the number of pictures, one hash of them all, and what was left out."""
    described: dict[str, dict[str, object]] = {}
    for name, group in listed.groupby("set", sort=False):
        usable = group[group["status"] == OK]
        content = "\n".join(
            f"{image} {digest}" for image, digest in zip(usable["image"], usable["sha256"], strict=True)
        )
        left_out = group[group["status"] != OK]
        described[str(name)] = {
            "pictures": len(usable),
            "sha256": hashlib.sha256(content.encode()).hexdigest(),
            "left_out": dict(zip(left_out["image"], left_out["status"], strict=True)),
        }
    return described


def check_benchmarks(benchmarks: Mapping[str, Path]) -> None:
    """Check that every folder exists and holds pictures, before anything runs.

    Raises:
        UserError: if one does not, or is named like the set of held-out photographs.
    """
    for name, folder in benchmarks.items():
        parameter = f"evaluate.benchmarks.{name}"
        if name == HELD_OUT:
            raise UserError(f"{parameter}: '{HELD_OUT}' is the name of the held-out photographs; choose another")
        if not folder.is_dir():
            raise UserError(f"{parameter}: there is no folder {folder}; set it to a folder of original pictures")
        if not any(picture_files(folder)):
            raise UserError(f"{parameter}: there is no picture in {folder} or below")


def _held_out(images: pd.DataFrame, max_images: int | None, seed: int) -> Iterator[tuple[object, ...]]:
    """The usable photographs of split ``val``, ordered by id; an id is added to names that occur twice."""
    chosen = images[(images["status"] == OK) & (images["split"] == "val")]
    if max_images is not None:
        places = [stable_hash("evaluate", seed, image_id) for image_id in chosen["id"]]
        chosen = chosen.iloc[np.argsort(places)[:max_images]]
    chosen = chosen.sort_values("id")
    stems = [Path(file).stem for file in chosen["file"]]
    photographs_of = Counter(stems)
    for stem, (_, row) in zip(stems, chosen.iterrows(), strict=True):
        name = stem if photographs_of[stem] == 1 else f"{stem}_{row['id']}"
        status = OK if min(row["width"], row["height"]) >= _smallest_picture() else _too_small()
        yield HELD_OUT, name, row["file"], row["sha256"], _is_gray(row["mode"]), status


def _benchmark(name: str, folder: Path) -> Iterator[tuple[object, ...]]:
    files = sorted(picture_files(folder))
    paths = [file.relative_to(folder) for file in files]
    stems = [path.with_suffix("").as_posix().replace("/", "_") for path in paths]
    pictures_of_stem = Counter(stems)
    for file, path, stem in zip(files, paths, stems, strict=True):
        image = stem if pictures_of_stem[stem] == 1 else f"{stem}_{path.suffix[1:]}"
        digest, gray, status = _inspect(file)
        yield name, image, str(file), digest, gray, status


def _inspect(file: Path) -> tuple[str, bool, str]:
    """SHA-256, whether gray, and ``ok`` or what is wrong."""
    try:
        content = read_bytes(file)
        decoded = decode_rgb(content)
    except (OSError, UnusablePictureError) as error:
        return "", False, str(error)
    small = min(decoded.picture.size) < _smallest_picture()
    status = _too_small() if small else OK
    return hashlib.sha256(content).hexdigest(), _is_gray(decoded.mode), status


def _smallest_picture() -> int:
    """Cut to a multiple of the scale, a picture must still hold what is measured."""
    return -(-smallest_edge(SCALE) // SCALE) * SCALE


def _too_small() -> str:
    return f"smaller than {_smallest_picture()} pixels"


def _is_gray(mode: str) -> bool:
    return mode in _GRAY_MODES or mode.startswith("I;16")


def _reasons(group: pd.DataFrame) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in Counter(group["status"]).items())
