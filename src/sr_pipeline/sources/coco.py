"""Reading a COCO data set from disk: a folder of images and the JSON file that lists them."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sr_pipeline.errors import UserError
from sr_pipeline.parameters import CocoParameters, CocoSplit


class Photograph(NamedTuple):
    """One image as its source describes it, before anybody has opened it."""

    id: int
    file: Path
    width: int
    height: int
    licence: str
    categories: list[str]
    split: str


def read_coco(parameters: CocoParameters, max_images: int | None = None) -> list[Photograph]:
    """List the photographs of both splits, ordered by split and image id.

    Args:
        parameters: folder and annotation file of the splits ``train`` and ``val``.
        max_images: at most so many a split; all if None.

    Raises:
        UserError: if a folder or file is missing, no COCO JSON, or holds no image, or if an image
            stands in both splits.
    """
    train = list(_read_split("train", parameters.train, max_images))
    val = list(_read_split("val", parameters.val, max_images))
    shared = {photograph.id for photograph in train} & {photograph.id for photograph in val}
    if shared:
        raise UserError(
            f"image id {min(shared)} stands in both {parameters.train.annotations} and {parameters.val.annotations}; "
            "held-out photographs must not be trained on, so take it out of one"
        )
    return train + val


def _read_split(split: str, parameters: CocoSplit, max_images: int | None) -> Iterator[Photograph]:
    coco = _open_annotations(split, parameters)
    licences = {licence["id"]: licence["name"] for licence in coco.dataset.get("licenses", [])}
    for image_id in sorted(coco.getImgIds())[:max_images]:
        image = coco.imgs[image_id]
        annotated = {annotation["category_id"] for annotation in coco.imgToAnns[image_id]}
        yield Photograph(
            id=image_id,
            file=parameters.images / image["file_name"],
            width=image["width"],
            height=image["height"],
            licence=licences.get(image.get("license"), "unknown"),
            categories=sorted(coco.cats[category]["name"] for category in annotated if category in coco.cats),
            split=split,
        )


def check_split(split: str, parameters: CocoSplit) -> None:
    """Check that folder and annotation file of ``split`` exist.

    Raises:
        UserError: if one does not.
    """
    if not parameters.images.is_dir():
        raise UserError(
            f"the folder of {split} images is missing: {parameters.images}; "
            f"put the images there or set ingest.coco.{split}.images"
        )
    if not parameters.annotations.is_file():
        raise UserError(
            f"the {split} annotation file is missing: {parameters.annotations}; "
            f"put it there or set ingest.coco.{split}.annotations"
        )


def _open_annotations(split: str, parameters: CocoSplit) -> Any:
    """Index an annotation file with pycocotools, which prints its progress: swallowed here."""
    from pycocotools.coco import COCO

    check_split(split, parameters)
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            coco = COCO(str(parameters.annotations))
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            reason = str(error) or "it holds no JSON object"
            raise UserError(f"{parameters.annotations} is no COCO annotation file: {reason}") from error
    if not coco.imgs:
        raise UserError(
            f"{parameters.annotations} lists no images; set ingest.coco.{split}.annotations to one that does"
        )
    return coco
