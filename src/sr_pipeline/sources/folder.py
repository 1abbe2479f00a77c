"""A plain folder of photographs."""

import logging
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from upath import UPath

from sr_pipeline.errors import UserError
from sr_pipeline.hashing import stable_fraction, stable_hash
from sr_pipeline.pictures.opening import LEFT_OUT, PICTURE_SUFFIXES, picture_files
from sr_pipeline.sources.parameters import FolderParameters
from sr_pipeline.sources.photograph import Photograph, Selection, printable
from sr_pipeline.storage import is_local, local_path, reaching

log = logging.getLogger(__name__)


def check_folder(parameters: FolderParameters) -> UPath:
    """The folder, if it is one.

    Raises:
        UserError: if it is not set or not there.
    """
    if parameters.path is None:
        raise UserError("ingest.source=folder needs ingest.folder.path, the folder of your photographs")
    with reaching(parameters.path, "ingest.folder.path"):
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
    with reaching(root, "ingest.folder.path"):
        files = map(UPath, pictures_below(local_path(root))) if is_local(root) else picture_files(root)
        found = [(printable(file.relative_to(root).as_posix()), file) for file in files]
    listed = [
        Photograph(stable_hash("image", name), file, split_of(name, parameters.val_fraction)) for name, file in found
    ]
    for split in ("train", "val"):
        if not any(photograph.split == split for photograph in listed):
            raise UserError(_empty_split(root, split, len(listed)))
    return [
        photograph for split in ("train", "val") for photograph in selection.of(p for p in listed if p.split == split)
    ]


def pictures_below(root: Path) -> Iterator[Path]:
    """All picture files below a folder of this machine, links to folders followed; what is hidden is left out.

    Each folder is listed once, so that links which lead up end. Folders come before links to them, so that files keep
    their names when someone links their folder. A link to a picture that is gone is listed too: ingest reports it.
    """
    links: deque[Path] = deque([root])
    listed: set[tuple[int, int]] = set()
    while links:
        start = links.popleft()
        if _identity(start) in listed:
            log.info("%s leads to a folder that is listed already; left out", printable(str(start)))
            continue
        if start != root:
            log.info("%s is a link to a folder, whose pictures are taken", printable(str(start)))
        for folder, below, names in os.walk(start, onerror=_say_unreadable):
            here = Path(folder)
            visible = sorted(name for name in below if not name.startswith(LEFT_OUT))
            links += [here / name for name in visible if (here / name).is_symlink()]
            below[:] = [name for name in visible if not (here / name).is_symlink()]
            listed.add(_identity(here))
            for name in names:
                file = here / name
                is_picture = file.suffix.lower() in PICTURE_SUFFIXES and not name.startswith(LEFT_OUT)
                # A pipe of that name would be waited for; what a link leads to need not exist.
                if is_picture and (file.is_file() or not file.exists()):
                    yield file


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _say_unreadable(error: OSError) -> None:
    log.warning("%s cannot be read (%s); its pictures are left out", printable(str(error.filename)), error.strerror)


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
