"""Reading a COCO data set: folders of images and the JSON files that list them."""

import contextlib
import difflib
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from sr_pipeline.errors import UserError
from sr_pipeline.sources.coco_values import (
    UNKNOWN,
    Key,
    Licences,
    UnclearValueError,
    edge_of,
    id_of,
    key_of,
    name_of,
    shortened,
)
from sr_pipeline.sources.folder import split_of
from sr_pipeline.sources.parameters import CocoParameters, CocoSplit
from sr_pipeline.sources.photograph import Photograph, Selection, printable
from sr_pipeline.storage import reaching

if TYPE_CHECKING:
    from sr_pipeline.sources.coco_file import AnnotationRecord, CategoryRecord, CocoFile, ImageRecord

_Raw = TypeVar("_Raw")
_Value = TypeVar("_Value")


def read_coco(parameters: CocoParameters, selection: Selection) -> list[Photograph]:
    """List the selected photographs of both splits, ordered by split and image id.

    Ids are those of the files, so two splits may use the same ones for different images, as annotation tools do.

    Args:
        parameters: folder and annotation file of the splits ``train`` and ``val``, or one of both and the fraction
            to hold out; categories and licences.
        selection: how many of those to take.

    Raises:
        UserError: if a folder or file is missing, a file is not COCO JSON or has no image that fits, or an image
            is in both splits.
    """
    if parameters.val_fraction is not None:
        train, val = _divided(_read_split("train", parameters), parameters)
    else:
        train, val = _read_split("train", parameters), _read_split("val", parameters)
        _check_disjoint(train, val, parameters)
    return selection.of(train) + selection.of(val)


def check_split(split: str, paths: CocoSplit) -> None:
    """Check that folder and annotation file of ``split`` exist.

    Raises:
        UserError: if one does not.
    """
    with reaching(paths.images, f"ingest.coco.{split}.images"):
        has_images = paths.images.is_dir()
    with reaching(paths.annotations, f"ingest.coco.{split}.annotations"):
        has_annotations = paths.annotations.is_file()
    if not has_images:
        raise UserError(
            f"the folder of {split} images is missing: {paths.images}; put the images there, "
            f"set ingest.coco.{split}.images, or download them with ingest.coco.fetch=archives"
        )
    if not has_annotations:
        raise UserError(
            f"the {split} annotation file is missing: {paths.annotations}; put it there, "
            f"set ingest.coco.{split}.annotations, or download it with ingest.coco.fetch=archives"
        )


def _divided(listed: list[Photograph], parameters: CocoParameters) -> tuple[list[Photograph], list[Photograph]]:
    """The photographs of one file as two splits, by a hash of each one's path below the folder of images."""
    fraction, root = parameters.val_fraction, parameters.train.images
    assert fraction is not None
    splits: dict[str, list[Photograph]] = {"train": [], "val": []}
    for photograph in listed:
        split = split_of(printable(photograph.file.relative_to(root).as_posix()), fraction)
        splits[split].append(photograph._replace(split=split))
    for split, change in (("train", "lower"), ("val", "raise")):
        if not splits[split]:
            raise UserError(
                f"none of the {len(listed)} photographs of {parameters.train.annotations} falls to split '{split}'; "
                f"{change} ingest.coco.val_fraction or add photographs"
            )
    return splits["train"], splits["val"]


def _check_disjoint(train: list[Photograph], val: list[Photograph], parameters: CocoParameters) -> None:
    held_out = {str(photograph.file) for photograph in val}
    shared = [photograph for photograph in train if str(photograph.file) in held_out]
    if shared:
        first = min(shared, key=lambda photograph: photograph.id)
        raise UserError(
            f"image id {first.id} is in both {parameters.train.annotations} and {parameters.val.annotations}: "
            f"{printable(str(first.file))}; held-out photographs must not be used for training, so remove it from one, "
            "or let ingest.coco.val_fraction divide the images of ingest.coco.train"
        )


def _read_split(split: str, parameters: CocoParameters) -> list[Photograph]:
    """All photographs of a split that have the requested categories and licences."""
    from sr_pipeline.sources.coco_file import read_coco_file

    paths: CocoSplit = getattr(parameters, split)
    check_split(split, paths)
    content = read_coco_file(paths.annotations)
    if not content.images:
        raise UserError(f"{paths.annotations} lists no images; set ingest.coco.{split}.annotations to one that does")
    listed = list(_Reader(content, split, paths).photographs(parameters))
    if not listed:
        raise UserError(
            f"no image of {paths.annotations} has one of ingest.coco.categories={parameters.categories} and "
            f"ingest.coco.licences={parameters.licences}; choose others"
        )
    return listed


class _Reader:
    """What the records of one annotation file say together."""

    def __init__(self, content: "CocoFile", split: str, paths: CocoSplit) -> None:
        self._content = content
        self._split, self._folder, self._file = split, paths.images, paths.annotations
        self._images = self._by_id(content.images or [])
        self._category_names = self._named(content.categories or [])
        self._categories = self._annotated(content.annotations or [])
        try:
            self._licences = Licences(content.licenses)
        except UnclearValueError as problem:
            raise self._malformed(str(problem)) from problem

    def photographs(self, parameters: CocoParameters) -> Iterator[Photograph]:
        """Those with one of the requested categories whose licences were all requested.

        Raises:
            UserError: if the file has no such category or licence, or a value has no clear meaning.
        """
        categories = self._chosen_categories(parameters.categories)
        chosen = self._chosen_licences(parameters.licences)
        names: dict[str, int] = {}
        for key, (number, image) in self._images.items():
            name = self._value(name_of, image.file_name, f"images[{number}].file_name")
            if name.address and names.setdefault(name.path, number) != number:
                raise self._malformed(
                    f"images[{number}].file_name: this address and that of images[{names[name.path]}] end in the same "
                    f"file name, {name.path}"
                )
            licences = self._value(self._licences.of, image.license, f"images[{number}].license")
            annotated = self._categories.get(key, set())
            if (categories is None or annotated & categories) and (
                chosen is None or (licences and licences.keys() <= chosen)
            ):
                yield Photograph(
                    id=id_of(key),
                    file=self._folder / name.path,
                    split=self._split,
                    width=self._value(edge_of, image.width, f"images[{number}].width"),
                    height=self._value(edge_of, image.height, f"images[{number}].height"),
                    licence=", ".join(licences.values()) or UNKNOWN,
                    categories=tuple(
                        sorted({self._category_names[c] for c in annotated & self._category_names.keys()})
                    ),
                    url=image.coco_url if isinstance(image.coco_url, str) and image.coco_url else name.address,
                )

    def _by_id(self, images: "list[ImageRecord]") -> "dict[Key, tuple[int, ImageRecord]]":
        """Images and their places in the list; an image that is listed twice, as in merged files, counts once."""
        found: dict[Key, tuple[int, ImageRecord]] = {}
        for number, image in enumerate(images):
            key = self._value(key_of, image.id, f"images[{number}].id")
            first = found.setdefault(key, (number, image))
            if first[1].file_name != image.file_name:
                raise self._malformed(
                    f"images[{number}].id: it lists two images with id {shortened(image.id)}, this one and "
                    f"images[{first[0]}], of other file names"
                )
        return found

    def _named(self, categories: "list[CategoryRecord]") -> dict[Key, str]:
        """Names of categories by id; one without a name goes by its id."""
        names: dict[Key, str] = {}
        for number, category in enumerate(categories):
            key = self._value(key_of, category.id, f"categories[{number}].id")
            name = str(key) if category.name is None else str(category.name).strip() or str(key)
            if names.setdefault(key, name) != name:
                raise self._malformed(
                    f"categories[{number}].id: two categories have the id {key}, '{names[key]}' and '{name}'"
                )
        return names

    def _annotated(self, annotations: "list[AnnotationRecord]") -> dict[Key, set[Key]]:
        """Categories of the objects in each image, both by id, from pycocotools' index.

        The annotations' own ids do not matter, and may repeat: they are numbered anew.
        """
        from pycocotools.coco import COCO

        listed: list[dict[str, Key]] = []
        for number, annotation in enumerate(annotations):
            image, category = annotation.image_id, annotation.category_id
            if type(image) is not int:  # most are, and there are many
                image = self._value(key_of, image, f"annotations[{number}].image_id")
            if category is None:
                continue
            if type(category) is not int:
                category = self._value(key_of, category, f"annotations[{number}].category_id")
            listed.append({"id": number, "image_id": image, "category_id": category})
        index = COCO()
        index.dataset = {"annotations": listed}
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
            index.createIndex()
        return {image: {each["category_id"] for each in there} for image, there in index.imgToAnns.items()}

    def _chosen_categories(self, wanted: list[str] | None) -> set[Key] | None:
        """Ids of all categories of these names."""
        if wanted is None:
            return None
        names = set(self._category_names.values())
        for name in wanted:
            if name not in names:
                raise UserError(
                    f"ingest.coco.categories: {self._file} has no category '{name}'; {self._categories_there(name)}"
                )
        return {key for key, name in self._category_names.items() if name in wanted}

    def _categories_there(self, name: str) -> str:
        names = sorted(set(self._category_names.values()))
        if not names:
            return "it lists no categories: leave the parameter out"
        nameless = [n for n, category in enumerate(self._content.categories or []) if not category.name]
        if nameless:
            return f"categories[{nameless[0]}].name is missing there: name the category, or set its id"
        close = difflib.get_close_matches(name, names, n=1)
        return f"did you mean '{close[0]}'?" if close else f"it has: {', '.join(names)}"

    def _chosen_licences(self, wanted: list[int | str] | None) -> set[Key] | None:
        """Ids of licences; text ones also by name."""
        if wanted is None:
            return None
        chosen: set[Key] = set()
        used = {
            key: name
            for number, image in self._images.values()
            for key, name in self._value(self._licences.of, image.license, f"images[{number}].license").items()
        }
        known = dict.fromkeys(self._licences.known, "") | used
        for name in wanted:
            keys = {key for key, stated in known.items() if name in (key, str(key), stated)}
            if not keys:
                raise UserError(
                    f"ingest.coco.licences: {self._file} has no licence {name}; it has {sorted(known, key=str)}"
                )
            chosen |= keys
        return chosen

    def _value(self, convert: Callable[[_Raw], _Value], value: _Raw, place: str) -> _Value:
        """The meaning of a record's field."""
        try:
            return convert(value)
        except UnclearValueError as problem:
            raise self._malformed(f"{place}: {problem}") from problem

    def _malformed(self, reason: str) -> UserError:
        from sr_pipeline.sources.coco_file import malformed

        return malformed(self._file, reason)
