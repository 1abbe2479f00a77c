"""Which files to enlarge, and where the results go."""

import glob
import os
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.opening import HEIC_IS_NOT_READ, HEIC_SUFFIXES, PICTURE_SUFFIXES, picture_files
from sr_pipeline.pictures.writing import SUFFIXES, format_of
from sr_pipeline.storage import LONGEST_NAME

ADDED = "_x4"
"""Added to the name of a result that lies beside its source."""


class Job(NamedTuple):
    """A picture and its result-to-be; ``problem`` says why there can be none."""

    source: Path
    target: Path | None
    problem: str | None = None


class Plan(NamedTuple):
    """What to do.

    Attributes:
        jobs: one per picture.
        earlier_results: how many files were left out because an earlier run wrote them.
    """

    jobs: list[Job]
    earlier_results: int


class _Found(NamedTuple):
    """A picture, and where it was looked for; ``top`` is the folder if one was named, ``searched`` of a pattern too."""

    job: Job
    top: Path | None = None
    searched: Path | None = None


def plan(inputs: list[str], output: Path | None, format_name: str | None) -> Plan:
    """The jobs for inputs as they come from a command line.

    Args:
        inputs: files; folders, of which all pictures at any depth are taken; patterns with ``*``, ``?`` or ``**``.
            A file that is named or found twice counts once.
        output: a folder, or the file for a single picture; None: beside the sources, and for a folder beside it.
        format_name: of the results; None: that of the source, or PNG where that is not written.

    Raises:
        UserError: if ``output`` does not fit the inputs or the format.
    """
    once = {found.job.source.absolute(): found for item in reversed(inputs) for found in reversed([*_found(item)])}
    every = list(reversed(once.values()))
    sources = [found for found in every if not _is_earlier_result(found, output)]
    to_file = output is not None and not output.is_dir() and format_of(output) is not None
    if output is not None:
        _check_output(output, format_name, len(sources), to_file=to_file)
    taken: dict[Path, Path] = {}
    jobs = []
    for job, top, _ in sources:
        if job.problem is None:
            target = output if to_file else _target(job.source, top, output, format_name)
            assert target is not None
            other = taken.setdefault(target.absolute(), job.source)
            clash = None if other is job.source else f"is not enlarged: {other} becomes {target} as well"
            job = Job(job.source, target, clash or _problem_of_name(target))  # noqa: PLW2901
        jobs.append(job)
    return Plan(jobs, len(every) - len(sources))


def _check_output(output: Path, format_name: str | None, sources: int, *, to_file: bool) -> None:
    if to_file and sources != 1:
        raise UserError(f"-o {output} is a file, but there are {sources} pictures; name a folder")
    if to_file and format_name not in (None, format_of(output)):
        raise UserError(f"-o {output} is not a {format_name} file; leave --format out or change the name")
    if output.is_dir() or to_file:
        return
    if output.exists():
        raise UserError(f"-o {output} is neither a folder nor a picture's name")
    if output.suffix.lower() in PICTURE_SUFFIXES:
        written = ", ".join(SUFFIXES.values())
        raise UserError(f"-o {output}: {output.suffix[1:].upper()} files are not written; choose one of {written}")


def _problem_of_name(target: Path) -> str | None:
    length = len(os.fsencode(target.name))
    if length <= LONGEST_NAME:
        return None
    return (
        f"is not enlarged: the name of its result would have {length} bytes, more than the {LONGEST_NAME} that file "
        "systems allow; name the result with -o"
    )


def _is_earlier_result(found: _Found, output: Path | None) -> bool:
    """Whether a file that was found, not named, is one that this program wrote.

    Either it lies in the folder for the results, which is part of what was searched; or it is called like the result
    of a picture that lies beside it.
    """
    source = found.job.source.absolute()
    if found.searched is None or found.job.problem is not None:
        return False
    if output is not None:
        folder = output.absolute()
        if folder in source.parents and found.searched.absolute() in folder.parents:
            return True
    if not source.stem.endswith(ADDED):
        return False
    stem = source.stem.removesuffix(ADDED)
    return any(source.with_name(stem + suffix).is_file() for suffix in _spellings(source.suffix))


def _spellings(suffix: str) -> set[str]:
    """Endings that the picture of a result with this ending may have."""
    return {suffix, *PICTURE_SUFFIXES, *(known.upper() for known in PICTURE_SUFFIXES)}


def _found(item: str) -> Iterator[_Found]:
    path = Path(item)
    if path.is_dir():
        pictures = sorted(picture_files(path, PICTURE_SUFFIXES | HEIC_SUFFIXES))
        if not pictures:
            yield _Found(Job(path, None, "holds no pictures"))
        for picture in pictures:
            problem = HEIC_IS_NOT_READ if picture.suffix.lower() in HEIC_SUFFIXES else None
            yield _Found(Job(picture, None, problem), path, path)
    elif path.exists() or not glob.has_magic(item):
        problem = None if path.is_file() else "does not exist" if not path.exists() else "is not a file"
        yield _Found(Job(path, None, problem))
    else:
        matching = sorted(Path(match) for match in glob.glob(item, recursive=True))  # noqa: PTH207  (absolute ones, too)
        files = [match for match in matching if match.is_file()]
        if not files:
            yield _Found(Job(path, None, "matches no file"))
        for file in files:
            yield _Found(Job(file, None), searched=_fixed_part(path))


def _fixed_part(pattern: Path) -> Path:
    """The folder in which the search for a pattern begins."""
    parts = list(takewhile(lambda part: not glob.has_magic(part), pattern.parts))
    return Path(*parts)


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
