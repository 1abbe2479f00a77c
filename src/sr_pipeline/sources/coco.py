"""Reading a COCO data set: folders of images and the JSON files that list them."""

import contextlib
import difflib
import io
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from upath import UPath

from sr_pipeline.errors import UserError
from sr_pipeline.sources.parameters import CocoParameters, CocoSplit
from sr_pipeline.sources.photograph import Photograph, Selection

_IMAGE_FIELDS: dict[str, type] = {"id": int, "file_name": str, "width": int, "height": int}


def read_coco(parameters: CocoParameters, selection: Selection) -> list[Photograph]:
    """List the selected photographs of both splits, ordered by split and image id.

    Args:
        parameters: folder and annotation file of the splits ``train`` and ``val``; categories and licences.
        selection: how many of those to take.

    Raises:
        UserError: if a folder or file is missing, a file is not COCO JSON or has no image that fits, or an image
            is in both splits.
    """
    train = _read_split("train", parameters, selection)
    val = _read_split("val", parameters, selection)
    shared = {photograph.id for photograph in train} & {photograph.id for photograph in val}
    if shared:
        raise UserError(
            f"image id {min(shared)} is in both {parameters.train.annotations} and {parameters.val.annotations}; "
            "held-out photographs must not be used for training, so remove it from one"
        )
    return train + val


def check_split(split: str, paths: CocoSplit) -> None:
    """Check that folder and annotation file of ``split`` exist.

    Raises:
        UserError: if one does not.
    """
    if not paths.images.is_dir():
        raise UserError(
            f"the folder of {split} images is missing: {paths.images}; put the images there, "
            f"set ingest.coco.{split}.images, or download them with ingest.coco.fetch=archives"
        )
    if not paths.annotations.is_file():
        raise UserError(
            f"the {split} annotation file is missing: {paths.annotations}; put it there, "
            f"set ingest.coco.{split}.annotations, or download it with ingest.coco.fetch=archives"
        )


def _read_split(split: str, parameters: CocoParameters, selection: Selection) -> list[Photograph]:
    paths: CocoSplit = getattr(parameters, split)
    coco = _index(split, paths)
    fitting = _fitting_ids(coco, parameters, paths.annotations)
    if not fitting:
        raise UserError(
            f"no image of {paths.annotations} has one of ingest.coco.categories={parameters.categories} and "
            f"ingest.coco.licences={parameters.licences}; choose others"
        )
    return selection.of(_photographs(coco, fitting, split, paths))


def _photographs(coco: Any, ids: set[int], split: str, paths: CocoSplit) -> Iterator[Photograph]:
    licences = {licence["id"]: licence["name"] for licence in coco.dataset.get("licenses", [])}
    for image_id in ids:
        image = coco.imgs[image_id]
        annotated = {annotation["category_id"] for annotation in coco.imgToAnns[image_id]}
        yield Photograph(
            id=image_id,
            file=paths.images / image["file_name"],
            split=split,
            width=image["width"],
            height=image["height"],
            licence=licences.get(image.get("license"), "unknown"),
            categories=tuple(sorted(coco.cats[category]["name"] for category in annotated if category in coco.cats)),
            url=image.get("coco_url"),
        )


def _fitting_ids(coco: Any, parameters: CocoParameters, file: UPath) -> set[int]:
    """Ids of the images with one of the requested categories and one of the requested licences."""
    fitting = set(coco.imgs)
    if parameters.categories is not None:
        numbers = {category["name"]: number for number, category in coco.cats.items()}
        for name in parameters.categories:
            if name not in numbers:
                raise UserError(f"ingest.coco.categories: {file} has no category '{name}'; {_hint(name, numbers)}")
        chosen = {numbers[name] for name in parameters.categories}
        fitting = {a["image_id"] for a in coco.anns.values() if a["category_id"] in chosen} & fitting
    if parameters.licences is not None:
        known = {licence["id"] for licence in coco.dataset.get("licenses", [])}
        for number in parameters.licences:
            if number not in known:
                raise UserError(f"ingest.coco.licences: {file} has no licence {number}; it has {sorted(known)}")
        fitting = {number for number in fitting if coco.imgs[number].get("license") in parameters.licences}
    return fitting


def _hint(name: str, known: dict[str, int]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean '{close[0]}'?" if close else f"it has: {', '.join(sorted(known))}"


def _index(split: str, paths: CocoSplit) -> Any:
    """Index an annotation file with pycocotools, whose progress messages are suppressed."""
    from pycocotools.coco import COCO

    check_split(split, paths)
    coco = COCO()
    coco.dataset = _load(paths.annotations)
    _check_images(coco.dataset.get("images"), split, paths.annotations)
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            coco.createIndex()
        except KeyError as error:
            raise _malformed(paths.annotations, f"an annotation or category has no {error}") from error
        except (TypeError, AttributeError) as error:
            raise _malformed(paths.annotations, str(error)) from error
    return coco


def _load(file: UPath) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = json.load(stream)
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno} column {error.colno}"
        size = file.stat().st_size
        cut = " (the end of the file: was it cut off?)" if error.pos >= size - 1 or "Unterminated" in error.msg else ""
        raise _malformed(file, where + cut) from error
    except UnicodeDecodeError as error:
        raise _malformed(file, f"byte {error.start} is not UTF-8 text") from error
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error}; make it readable") from error
    if not isinstance(content, dict):
        raise _malformed(file, "it does not contain a JSON object")
    return content


def _check_images(images: Any, split: str, file: UPath) -> None:
    """Check the fields this project relies on, which pycocotools does not check."""
    if not isinstance(images, list) or not images:
        raise UserError(f"{file} lists no images; set ingest.coco.{split}.annotations to one that does")
    ids = set()
    for number, image in enumerate(images):
        for name, kind in _IMAGE_FIELDS.items():
            value = image.get(name) if isinstance(image, dict) else None
            if not isinstance(value, kind) or (isinstance(value, int) and value < 0):
                wanted = "a whole number" if kind is int else "a text"
                raise _malformed(file, f"'{name}' of images[{number}] is {value!r} where {wanted} should be")
        path = PurePosixPath(image["file_name"].replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise _malformed(file, f"'file_name' of images[{number}], {image['file_name']!r}, leads out of the folder")
        if image["id"] in ids:
            raise _malformed(file, f"it lists two images with id {image['id']}")
        ids.add(image["id"])


def _malformed(file: UPath, reason: str) -> UserError:
    return UserError(f"{file} is not a COCO annotation file: {reason}; download or export it again")
