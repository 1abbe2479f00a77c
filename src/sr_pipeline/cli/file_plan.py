"""Which files to enlarge, and where the results go."""

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.opening import picture_files
from sr_pipeline.pictures.writing import SUFFIXES, format_of

ADDED = "_x4"
"""Added to the name of a result that lies beside its source."""


class Job(NamedTuple):
    """A picture and its result-to-be; ``problem`` says why there can be none."""

    source: Path
    target: Path | None
    problem: str | None = None


def plan(inputs: list[str], output: Path | None, format_name: str | None) -> list[Job]:
    """The jobs for inputs as they come from a command line.

    Args:
        inputs: files; folders, of which all pictures at any depth are taken; patterns with ``*``, ``?`` or ``**``.
        output: a folder, or the file for a single picture; None: beside the sources, and for a folder beside it.
        format_name: of the results; None: that of the source, or PNG where that is not written.

    Raises:
        UserError: if ``output`` does not fit the inputs or the format.
    """
    sources = [found for item in inputs for found in _found(item)]
    to_file = output is not None and not output.is_dir() and format_of(output) is not None
    if to_file and len(sources) != 1:
        raise UserError(f"-o {output} is a file, but there are {len(sources)} pictures; name a folder")
    if to_file and format_name not in (None, format_of(output or Path())):
        raise UserError(f"-o {output} is not a {format_name} file; leave --format out or change the name")
    if output is not None and output.exists() and not output.is_dir() and not to_file:
        raise UserError(f"-o {output} is neither a folder nor a picture's name")
    taken: dict[Path, Path] = {}
    jobs = []
    for job, top in sources:
        if job.problem is None:
            target = output if to_file else _target(job.source, top, output, format_name)
            assert target is not None
            other = taken.setdefault(target.absolute(), job.source)
            problem = None if other is job.source else f"is not enlarged: {other} becomes {target} as well"
            job = Job(job.source, target, problem)  # noqa: PLW2901
        jobs.append(job)
    return jobs


def _found(item: str) -> Iterator[tuple[Job, Path | None]]:
    """Pictures, with the folder they were found in if that was named."""
    path = Path(item)
    if path.is_dir():
        pictures = sorted(picture_files(path))
        if not pictures:
            yield Job(path, None, "holds no pictures"), None
        for picture in pictures:
            yield Job(picture, None), path
    elif path.exists() or not glob.has_magic(item):
        problem = None if path.is_file() else "does not exist" if not path.exists() else "is not a file"
        yield Job(path, None, problem), None
    else:
        matching = sorted(Path(match) for match in glob.glob(item, recursive=True))  # noqa: PTH207  (absolute ones, too)
        files = [match for match in matching if match.is_file()]
        if not files:
            yield Job(path, None, "matches no file"), None
        for file in files:
            yield Job(file, None), None


def _target(source: Path, top: Path | None, output: Path | None, format_name: str | None) -> Path:
    if format_name is not None:
        suffix = SUFFIXES[format_name] if format_of(source) != format_name else source.suffix
    else:
        suffix = source.suffix if format_of(source) else ".png"
    if top is None:
        folder = source.parent if output is None else output
    else:
        resolved = top.absolute()
        base = resolved.with_name(resolved.name + ADDED) if output is None else output
        folder = base / source.parent.relative_to(top)
    beside = folder.absolute() == source.parent.absolute()
    return folder / f"{source.stem}{ADDED if beside else ''}{suffix}"
