"""A plain folder of photographs."""

from upath import UPath

from sr_pipeline.errors import UserError
from sr_pipeline.hashing import stable_fraction, stable_hash
from sr_pipeline.pictures.opening import picture_files
from sr_pipeline.sources.parameters import FolderParameters
from sr_pipeline.sources.photograph import Photograph, Selection


def check_folder(parameters: FolderParameters) -> UPath:
    """The folder, if it is one.

    Raises:
        UserError: if it is not set or not there.
    """
    if parameters.path is None:
        raise UserError("ingest.source=folder needs ingest.folder.path, the folder of your photographs")
    if not parameters.path.is_dir():
        raise UserError(f"there is no folder {parameters.path}; set ingest.folder.path to a folder of photographs")
    return parameters.path


def read_folder(parameters: FolderParameters, selection: Selection) -> list[Photograph]:
    """List all picture files below the folder, ordered by split and id; hidden files and folders are left out.

    Id and split of a photograph are hashes of its path below the folder: they stay when others come or go, and
    when the folder moves.

    Raises:
        UserError: if the folder does not exist, or a split would be empty.
    """
    root = check_folder(parameters)
    found = [(file.relative_to(root).as_posix(), file) for file in picture_files(root)]
    listed = [
        Photograph(stable_hash("image", name), file, split_of(name, parameters.val_fraction)) for name, file in found
    ]
    for split in ("train", "val"):
        if not any(photograph.split == split for photograph in listed):
            raise UserError(_empty_split(root, split, len(listed)))
    return [
        photograph for split in ("train", "val") for photograph in selection.of(p for p in listed if p.split == split)
    ]


def split_of(name: str, val_fraction: float) -> str:
    """``train`` or ``val`` by a hash of ``name``; a larger ``val_fraction`` holds out the same and more."""
    return "val" if stable_fraction("split", name) < val_fraction else "train"


def _empty_split(root: UPath, split: str, count: int) -> str:
    if not count:
        return f"there is no picture in {root} or below; set ingest.folder.path to a folder of photographs"
    change = "raise" if split == "val" else "lower"
    return (
        f"none of the {count} photographs in {root} falls to split '{split}'; "
        f"{change} ingest.folder.val_fraction or add photographs"
    )
