"""The embedded sample: photographs that ship inside the scikit-image and scikit-learn wheels.

They are written to disk as a COCO data set (images and annotation JSON), so that the sample is read by
the same code as MSCOCO. Only natural, unretouched photographs are used. The two views
of the motorcycle stereo pair show the same scene and therefore stay in the same split.
"""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image
from upath import UPath

from sr_pipeline.errors import UserError
from sr_pipeline.sources.parameters import CocoParameters, CocoSplit
from sr_pipeline.storage import atomic_write, local_path, write_text


class _Box(NamedTuple):
    """A box around an object, drawn by hand for this project: left, top, width, height in pixels."""

    category: str
    bbox: tuple[int, int, int, int]


class _SamplePhotograph(NamedTuple):
    package: str
    file: str
    split: str
    licence: str
    boxes: tuple[_Box, ...] = ()


_SKIMAGE, _SKLEARN = "skimage/data", "sklearn/datasets/images"
_FREE, _BY, _US = "No known copyright restrictions", "Attribution License", "United States Government Work"
_PHOTOGRAPHS = (
    _SamplePhotograph(_SKIMAGE, "astronaut.png", "train", _US, (_Box("person", (24, 16, 338, 496)),)),
    _SamplePhotograph(
        _SKIMAGE, "coffee.png", "train", _FREE, (_Box("cup", (175, 19, 246, 264)), _Box("spoon", (330, 66, 91, 259)))
    ),
    _SamplePhotograph(_SKIMAGE, "rocket.jpg", "train", _FREE),
    _SamplePhotograph(_SKIMAGE, "motorcycle_left.png", "train", _FREE, (_Box("motorcycle", (98, 82, 587, 368)),)),
    _SamplePhotograph(_SKIMAGE, "motorcycle_right.png", "train", _FREE, (_Box("motorcycle", (77, 82, 552, 363)),)),
    _SamplePhotograph(_SKLEARN, "flower.jpg", "train", _BY),
    _SamplePhotograph(_SKIMAGE, "chelsea.png", "val", _FREE, (_Box("cat", (0, 0, 420, 300)),)),
    _SamplePhotograph(_SKLEARN, "china.jpg", "val", _BY),
)
# Ids, names and addresses as in MSCOCO's own files.
_CATEGORIES = (
    {"supercategory": "person", "id": 1, "name": "person"},
    {"supercategory": "vehicle", "id": 4, "name": "motorcycle"},
    {"supercategory": "animal", "id": 17, "name": "cat"},
    {"supercategory": "kitchen", "id": 47, "name": "cup"},
    {"supercategory": "kitchen", "id": 50, "name": "spoon"},
)
_LICENCES = (
    {"url": "http://creativecommons.org/licenses/by/2.0/", "id": 4, "name": _BY},
    {"url": "http://flickr.com/commons/usage/", "id": 7, "name": _FREE},
    {"url": "http://www.usa.gov/copyright.shtml", "id": 8, "name": _US},
)


def write_sample(folder: Path) -> CocoParameters:
    """Write the sample below ``folder`` and return the locations of its splits.

    Running it again gives the same bytes. Each file appears completely or not at all.

    Raises:
        UserError: if an installed package does not contain its photograph.
    """
    coco = CocoParameters(train=_split_of(folder, "train"), val=_split_of(folder, "val"))
    for split, paths in (("train", coco.train), ("val", coco.val)):
        paths.images.mkdir(parents=True, exist_ok=True)
        paths.annotations.parent.mkdir(parents=True, exist_ok=True)
        members = [(number, p) for number, p in enumerate(_PHOTOGRAPHS, start=1) if p.split == split]
        for _, photograph in members:
            with atomic_write(paths.images / photograph.file) as partial:
                shutil.copyfile(_find(photograph), partial)
        write_text(paths.annotations, json.dumps(_annotations(members, local_path(paths.images)), indent=1) + "\n")
    return coco


def _split_of(folder: Path, split: str) -> CocoSplit:
    root = UPath(folder)
    return CocoSplit(images=root / "images" / split, annotations=root / "annotations" / f"instances_{split}.json")


def _find(photograph: _SamplePhotograph) -> Path:
    """Path of the photograph inside its installed package, without importing the package."""
    package, _, folder = photograph.package.partition("/")
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / folder / photograph.file if spec and spec.origin else Path(photograph.file)
    if not path.is_file():
        raise UserError(
            f"the installed {package} does not contain {folder}/{photograph.file}; install the versions of "
            "requirements.lock, or set ingest.source=coco"
        )
    return path


def _annotations(members: list[tuple[int, _SamplePhotograph]], images: Path) -> dict[str, Any]:
    """The split in the format of MSCOCO's ``instances_*.json``."""
    category_ids = {category["name"]: category["id"] for category in _CATEGORIES}
    licence_ids = {licence["name"]: licence["id"] for licence in _LICENCES}
    listed, annotations = [], []
    for image_id, photograph in members:
        with Image.open(images / photograph.file) as picture:
            width, height = picture.size
        listed.append(
            {
                "license": licence_ids[photograph.licence],
                "file_name": photograph.file,
                "height": height,
                "width": width,
                "id": image_id,
            }
        )
        for number, (category, (x, y, w, h)) in enumerate(photograph.boxes, start=1):
            annotations.append(
                {
                    "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
                    "area": float(w * h),
                    "iscrowd": 0,
                    "image_id": image_id,
                    "bbox": [x, y, w, h],
                    "category_id": category_ids[category],
                    "id": 10 * image_id + number,
                }
            )
    return {
        "info": {"description": "Photographs of the scikit-image and scikit-learn wheels", "version": "1.0"},
        "licenses": list(_LICENCES),
        "images": listed,
        "annotations": annotations,
        "categories": list(_CATEGORIES),
    }
