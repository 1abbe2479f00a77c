"""What the files of a benchmark's folder are: originals, their low-resolution versions, and what each is called.

Published sets come with low-resolution files in several layouts, all of which are read:

- ``image_SRF_4/img_001_SRF_4_HR.png`` and ``…_LR.png`` (Huang et al. 2015), or ``x_HR.png`` and ``x_LR.png``;
- ``HR/x.png`` and ``LRx4/x.png``, ``LR/x4/x.png`` or ``LR_bicubic/X4/xx4.png`` (the benchmarks of EDSR);
- ``DIV2K_valid_HR/0801.png`` and ``DIV2K_valid_LR_bicubic/X4/0801x4.png`` (Agustsson & Timofte 2017);
- ``GTmod12/x.png`` and ``LRbicx4/x.png`` (the benchmarks of BasicSR).
"""

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sr_pipeline.networks.parameters import SCALE

_HR_FOLDER = re.compile(r"(?:(?P<prefix>.+)[_-])?(?:HR|GT|GTmod\d+|originals?)", re.IGNORECASE)
_LR_FOLDER = re.compile(
    r"(?:(?P<prefix>.+)[_-])?LR[_-]?(?:bicubic|bic|unknown|mild|difficult|wild)?[_-]?(?:x(?P<scale>\d))?", re.IGNORECASE
)
_SCALE_FOLDER = re.compile(r"x(?P<scale>\d)", re.IGNORECASE)  # below one of low resolution
_SRF_FOLDER = re.compile(r"image_SRF_(?P<scale>\d)", re.IGNORECASE)
_MARKED = re.compile(
    r"(?P<key>.+?)(?:_SRF_(?P<srf>\d))?[_-](?:(?P<hr>HR|GT)|LR)(?:[_-]?x(?P<scale>\d))?", re.IGNORECASE
)
_SCALED = re.compile(r"(?P<key>.+?)[_-]?x(?P<scale>\d)", re.IGNORECASE)


class BenchmarkFile(NamedTuple):
    """A picture of a benchmark.

    Attributes:
        name: unique in its benchmark, also where case does not count.
        hr: the file of the original; of a low-resolution file without one, that file.
        lr: the low-resolution file; none: it has to be made.
        problem: why it cannot be measured; empty if nothing speaks against it yet.
    """

    name: str
    hr: Path
    lr: Path | None = None
    problem: str = ""


class _Role(NamedTuple):
    """What a path says: which picture it is of, whether in low resolution, and by which scale."""

    key: str
    low: bool
    scale: int | None
    marked: bool


def sort_files(folder: Path, files: Sequence[Path]) -> list[BenchmarkFile]:
    """Pair originals with their low-resolution files, and name them.

    Where no low-resolution file has its original, all files are originals: ``_LR`` is also what Lightroom's exports are
    called. Otherwise those without a partner are left out, for a mean must not mix given low-resolution files with
    made ones. Files of other scales are not of this benchmark.

    Args:
        folder: that of the benchmark; only what lies below it has a meaning.
        files: in it.
    """
    paths = {file: PurePosixPath(file.relative_to(folder).as_posix()) for file in sorted(files)}
    roles = {file: _role_of(path) for file, path in paths.items()}
    low: dict[str, list[Path]] = {}
    high: dict[str, list[Path]] = {}
    for file, role in roles.items():
        if role.scale in (None, SCALE) or not role.low:
            (low if role.low else high).setdefault(role.key, []).append(file)
    if not low.keys() & high.keys():
        others = [file for file, role in roles.items() if not (role.low and role.scale not in (None, SCALE) and high)]
        names = unique_names([_plain(paths[file]) for file in others], [paths[file].as_posix() for file in others])
        return [BenchmarkFile(name, file) for name, file in zip(names, others, strict=True)]
    pairs = [_pair(key, high.get(key, []), low.get(key, []), roles) for key in sorted(low.keys() | high.keys())]
    names = unique_names([pair.name for pair in pairs], [paths[pair.hr].as_posix() for pair in pairs])
    return [pair._replace(name=name) for pair, name in zip(pairs, names, strict=True)]


def unique_names(names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """``names``, those that occur twice made longer until all differ, also where case does not count.

    First by the file's ending, then by eight digits of a hash of ``sources``, which are the unique paths or ids.

    >>> unique_names(["x_y", "x_y", "z"], ["x/y.png", "x_y.bmp", "z.png"])
    ['x_y_png', 'x_y_bmp', 'z']
    """
    endings = [PurePosixPath(source).suffix[1:] for source in sources]
    digests = [hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest() for source in sources]
    longer = [
        [name, f"{name}_{ending}" if ending else name, f"{name}_{digest[:8]}", f"{name}_{digest}"]
        for name, ending, digest in zip(names, endings, digests, strict=True)
    ]
    steps = [0] * len(names)
    while True:
        chosen = [options[step] for options, step in zip(longer, steps, strict=True)]
        times = Counter(name.casefold() for name in chosen)
        twice = [i for i, name in enumerate(chosen) if times[name.casefold()] > 1 and steps[i] < len(longer[i]) - 1]
        if not twice:
            return chosen
        for i in twice:
            steps[i] += 1


def _pair(key: str, high: list[Path], low: list[Path], roles: dict[Path, _Role]) -> BenchmarkFile:
    """The picture ``key``; of several originals, the one that states this scale or role comes first."""
    name = key.replace("/", "_")
    if not high:
        return BenchmarkFile(name, low[0], problem="a low-resolution file without its original")
    originals = sorted(high, key=lambda file: (roles[file].scale != SCALE, not roles[file].marked))
    if not low:
        return BenchmarkFile(name, originals[0], problem="without a low-resolution file, which others have")
    if len(low) > 1:
        listed = ", ".join(str(file) for file in low)
        return BenchmarkFile(name, originals[0], problem=f"several low-resolution files: {listed}")
    return BenchmarkFile(name, originals[0], low[0])


def _plain(path: PurePosixPath) -> str:
    return path.with_suffix("").as_posix().replace("/", "_")


def _role_of(path: PurePosixPath) -> _Role:
    """What the names of the folders and of the file say."""
    parts: list[str] = []
    low = marked = False
    scale: int | None = None
    for part in path.parts[:-1]:
        if match := _LR_FOLDER.fullmatch(part):
            low = marked = True
        elif match := _HR_FOLDER.fullmatch(part):
            marked = True
        elif (match := _SRF_FOLDER.fullmatch(part)) or (low and (match := _SCALE_FOLDER.fullmatch(part))):
            pass
        else:
            parts.append(part)
            continue
        found = match.groupdict()
        scale = int(found["scale"]) if found.get("scale") else scale
        parts += [found["prefix"]] if found.get("prefix") else []
    stem = path.stem
    if match := _MARKED.fullmatch(stem):
        stem, low, marked = match["key"], match["hr"] is None, True
        stated = match["srf"] or match["scale"]
        scale = int(stated) if stated else scale
    elif low and (match := _SCALED.fullmatch(stem)) and scale in (None, int(match["scale"])):
        stem, scale = match["key"], int(match["scale"])
    return _Role("/".join([*parts, stem]), low, scale, marked)
