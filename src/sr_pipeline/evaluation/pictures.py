"""Which pictures are measured: held-out photographs, and the folders of benchmarks."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sr_pipeline.errors import UserError
from sr_pipeline.evaluation.benchmark_files import sort_files, unique_names
from sr_pipeline.evaluation.originals import Read, read_original
from sr_pipeline.evaluation.parameters import HELD_OUT, EvaluateParameters, GrayScoring
from sr_pipeline.hashing import stable_hash
from sr_pipeline.imaging.matlab import enlarge_as_matlab, reduce_as_matlab
from sr_pipeline.imaging.metrics import Original, Reduction, is_gray, smallest_edge
from sr_pipeline.imaging.resample import crop_to_multiple, downsample, enlarge
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.pictures.opening import picture_files
from sr_pipeline.pictures.photographs import UnusablePictureError
from sr_pipeline.storage import read_bytes

log = logging.getLogger(__name__)

OK = "ok"
COLUMNS = ("set", "image", "file", "sha256", "low", "low_sha256", "reduction", "status")


class Resampling(NamedTuple):
    """How pictures are reduced, and how the method ``bicubic`` enlarges them.

    Attributes:
        title: for the protocol.
        reduce: (h, w, 3) uint8 and a scale that divides both edges.
        enlarge: (h, w, 3) uint8 and a scale.
    """

    title: str
    reduce: Reduction
    enlarge: Callable[[RgbImage, int], RgbImage]


RESAMPLING: dict[str, Resampling] = {
    "pillow": Resampling(
        "Pillow BICUBIC, antialiased, 8 bits", downsample, lambda image, scale: enlarge(image, scale, "bicubic")
    ),
    "matlab": Resampling("MATLAB imresize bicubic, antialiased, 8 bits", reduce_as_matlab, enlarge_as_matlab),
}
"""By the values of ``evaluate.reduction``."""


class Picture(NamedTuple):
    """An original to be measured on.

    Attributes:
        set: its set.
        image: its name in the set.
        file: of the original.
        low: of the low-resolution version; empty: it is made.
        reduction: by which, of ``RESAMPLING``.
    """

    set: str
    image: str
    file: str
    low: str = ""
    reduction: str = "pillow"

    @property
    def key(self) -> str:
        """Set and name: unique among all pictures."""
        return f"{self.set}/{self.image}"

    @property
    def resampling(self) -> Resampling:
        """How it is reduced and bicubically enlarged."""
        return RESAMPLING[self.reduction]

    def original(self, *, gray: GrayScoring = "rgb") -> Original:
        """The picture, cut to a multiple of the scale, or to what its low-resolution file shows.

        Args:
            gray: ``raw`` scores pictures without colour on their gray values, ``stored`` those whose file is gray.

        Raises:
            UserError: if a file is no longer what it was when it was listed.
        """
        read = self._read(self.file)
        lr = self._read(self.low).image if self.low else None
        raw = (gray == "stored" and read.stored_gray) or (gray == "raw" and is_gray(read.image))
        try:
            hr, lr = cut_to_fit(read.image, lr)
            return Original(hr, SCALE, raw_gray=raw, lr=lr, reduction=self.resampling.reduce)
        except ValueError as error:
            raise _changed(self.file, error) from error

    def low_resolution(self) -> RgbImage:
        """The input that is enlarged, (h, w, 3) uint8."""
        return self.original().lr

    def _read(self, file: str) -> Read:
        try:
            return read_original(read_bytes(file))
        except (OSError, UnusablePictureError, ValueError) as error:
            raise _changed(file, error) from error


def cut_to_fit(hr: RgbImage, lr: RgbImage | None) -> tuple[RgbImage, RgbImage | None]:
    """Cut the bottom and the right so that the original is ``SCALE`` times as large as its low-resolution version.

    Sets differ in this: of an original whose edges are no multiples, the low-resolution file is rounded down or up.

    Raises:
        ValueError: if it is not a quarter of the original; the message goes on from its name.
    """
    if lr is None:
        return crop_to_multiple(hr, SCALE), None
    for high, low in zip(hr.shape[:2], lr.shape[:2], strict=True):
        if low not in (high // SCALE, -(-high // SCALE)):
            small, large = (f"{image.shape[1]}x{image.shape[0]}" for image in (lr, hr))
            raise ValueError(f"is of {small} pixels, not a quarter of {large}")
    height, width = (edge // SCALE for edge in hr.shape[:2])
    return hr[: height * SCALE, : width * SCALE], lr[:height, :width]


def _changed(file: str, error: Exception) -> UserError:
    return UserError(f"{file} can no longer be used ({error}); restore it, or run kedro run --pipelines=ingest again")


def pictures_of(listed: pd.DataFrame) -> list[Picture]:
    """The usable ones of ``list_pictures``, set by set."""
    usable = listed[listed["status"] == OK]
    return [Picture(*row) for row in zip(*(usable[name] for name in Picture._fields), strict=True)]


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
    listed = pd.DataFrame([(*entry[:-1], parameters.reduction, entry[-1]) for entry in entries], columns=list(COLUMNS))
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
        rows = zip(usable["image"], usable["sha256"], usable["low_sha256"], strict=True)
        content = "\n".join(f"{image} {digest} {low}".rstrip() for image, digest, low in rows)
        left_out = group[group["status"] != OK]
        described[str(name)] = {
            "pictures": len(usable),
            "given_low_resolution": int((usable["low"] != "").sum()),
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
    names = [
        stem if photographs_of[stem] == 1 else f"{stem}_{image_id}"
        for stem, image_id in zip(stems, chosen["id"], strict=True)
    ]
    names = unique_names(
        names, [f"{file} {image_id}" for file, image_id in zip(chosen["file"], chosen["id"], strict=True)]
    )
    for name, (_, row) in zip(names, chosen.iterrows(), strict=True):
        status = OK if min(row["width"], row["height"]) >= _smallest_picture() else _too_small()
        yield HELD_OUT, name, row["file"], row["sha256"], "", "", status


def _benchmark(name: str, folder: Path) -> Iterator[tuple[object, ...]]:
    for found in sort_files(folder, list(picture_files(folder))):
        image, digest, problem = _inspect(found.hr)
        small, low_digest, low_problem = _inspect(found.lr) if found.lr else (None, "", "")
        status = found.problem or problem or (low_problem and f"low-resolution file {found.lr}: {low_problem}")
        if not status and image is not None:
            status = _misfit(image, small, found.lr) or (_too_small() if _is_small(image) else OK)
        yield name, found.name, str(found.hr), digest, str(found.lr or ""), low_digest, status


def _inspect(file: Path) -> tuple[RgbImage | None, str, str]:
    """The decoded picture, SHA-256 of the file, and what is wrong with it."""
    try:
        content = read_bytes(file)
        return read_original(content).image, hashlib.sha256(content).hexdigest(), ""
    except (OSError, UnusablePictureError) as error:
        return None, "", str(error)


def _misfit(hr: RgbImage, lr: RgbImage | None, file: Path | None) -> str:
    try:
        cut_to_fit(hr, lr)
    except ValueError as error:
        return f"its low-resolution file {file} {error}"
    return ""


def _is_small(image: RgbImage) -> bool:
    return min(image.shape[:2]) < _smallest_picture()


def _smallest_picture() -> int:
    """Cut to a multiple of the scale, a picture must still hold what is measured."""
    return -(-smallest_edge(SCALE) // SCALE) * SCALE


def _too_small() -> str:
    return f"smaller than {_smallest_picture()} pixels"


def _reasons(group: pd.DataFrame) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in Counter(group["status"]).items())
