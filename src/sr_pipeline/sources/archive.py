"""Taking files out of a zip archive without trusting it."""

import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from sr_pipeline.errors import UserError
from sr_pipeline.storage import atomic_write


def extract(archive: Path, wanted: Mapping[str, Path]) -> set[str]:
    """Write the files of ``archive`` whose path ends with a wanted name to the path given for it.

    The archive decides neither which files are written nor where: both come from ``wanted``. Each file is checked
    against its CRC and appears completely or not at all.

    Args:
        archive: a zip file.
        wanted: targets keyed by name, which is a file name or the last parts of a path (``a.jpg``, ``val/a.jpg``).

    Returns:
        The wanted names that the archive does not have.

    Raises:
        UserError: if the archive is broken, contains a link or a path leading out of it, or does not fit on the disk.
    """
    missing = dict(wanted)
    depths = {len(PurePosixPath(name).parts) for name in wanted}
    try:
        with zipfile.ZipFile(archive) as source:
            members = source.infolist()
            for member in members:
                _refuse_escape(archive, member)
            chosen = [
                (member, missing.pop(name))
                for member in members
                if not member.is_dir()
                for name in [_wanted_name(member.filename, missing, depths)]
                if name is not None
            ]
            _check_space(archive, [(member.file_size, target) for member, target in chosen])
            for member, target in tqdm(chosen, desc=f"unpacking {archive.name}", unit="file", disable=None):
                target.parent.mkdir(parents=True, exist_ok=True)
                with source.open(member) as packed, atomic_write(target) as partial, partial.open("wb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{archive} is a broken zip archive ({error}); delete it and run again") from error
    return set(missing)


def _wanted_name(path: str, wanted: Mapping[str, Path], depths: set[int]) -> str | None:
    parts = PurePosixPath(path).parts
    names = ("/".join(parts[-depth:]) for depth in depths)
    return next((name for name in names if name in wanted), None)


def _refuse_escape(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    is_link = stat.S_ISLNK(member.external_attr >> 16)
    has_drive = ":" in "".join(path.parts[:1])
    if path.is_absolute() or has_drive or ".." in path.parts or is_link:
        raise UserError(
            f"{archive} contains {'a link' if is_link else 'a path that leads out of it'}, {member.filename!r}, which "
            "no image archive needs; nothing was unpacked: delete it and download it from a source you trust"
        )


def _check_space(archive: Path, files: list[tuple[int, Path]]) -> None:
    if not files:
        return
    folder = next(parent for parent in files[0][1].absolute().parents if parent.exists())
    needed, free = sum(size for size, _ in files), shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"unpacking {archive} needs {needed / 1e9:.1f} GB in {folder}, which has {free / 1e9:.1f} GB free; "
            "make room or set other paths"
        )
