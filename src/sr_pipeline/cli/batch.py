"""Enlarging many files one after the other, with progress and a line about each."""

import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
from PIL import Image
from tqdm import tqdm

from sr_pipeline.cli.file_plan import Job
from sr_pipeline.errors import UserError
from sr_pipeline.inference.enlargement import Enlarged, Options, Upscale, enlarge_file

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Pictures to enlarge.

    Attributes:
        jobs: which.
        options: how.
        as_json: report results as JSON on standard output instead of one line each.
    """

    jobs: list[Job]
    options: Options
    as_json: bool


def enlarge_all(batch: Batch, open_model: Callable[[], Upscale]) -> bool:
    """Enlarge every picture that can be enlarged; return whether all could.

    Args:
        batch: the pictures.
        open_model: opens the generator; called only if there is something to do.

    Raises:
        UserError: if the model cannot be opened.
    """
    warnings.filterwarnings("ignore", module="PIL")  # of damaged files; the error says it
    results = []
    sizes = {job: _pixels(job.source) for job in batch.jobs if job.problem is None}
    upscale = open_model() if sizes else None
    bar = tqdm(total=sum(sizes.values()) / 1e6, unit="MP", file=sys.stderr, disable=None, leave=False, smoothing=0.1)
    bar.bar_format = "{desc} {percentage:3.0f}% |{bar}| {elapsed} so far, {remaining} to go"
    with bar:
        done = 0.0
        for number, job in enumerate(batch.jobs, 1):
            bar.set_description_str(f"[{number}/{len(batch.jobs)}] {_shown(job.source.name)}", refresh=True)
            results.append(_result(job, upscale, batch.options, _Advance(bar, done, sizes.get(job, 0) / 1e6)))
            done += sizes.get(job, 0) / 1e6
            bar.update(done - bar.n)
            if not batch.as_json:
                _tell(results[-1])
    if batch.as_json:
        click.echo(json.dumps(results, indent=2))
    return all("error" not in result for result in results)


class _Advance:
    """Moves the bar on within a picture."""

    def __init__(self, bar: Any, start: float, size: float) -> None:
        self._bar, self._start, self._size = bar, start, size

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._start + self._size * done / total - self._bar.n)


def _result(job: Job, upscale: Upscale | None, options: Options, progress: _Advance) -> dict[str, Any]:
    """The result for one picture, as plain values."""
    result: dict[str, Any] = {"input": str(job.source)}
    try:
        if job.problem is not None or job.target is None or upscale is None:
            raise UserError(job.problem or "is not enlarged")
        started = time.perf_counter()
        done: Enlarged = enlarge_file(job.source, job.target, upscale, options, progress)
        seconds = round(time.perf_counter() - started, 3)
        left_out = {"left_out": done.left_out} if done.left_out else {}
        size = {"width": done.size[0], "height": done.size[1]}
        return result | {"output": str(job.target)} | size | {"seconds": seconds} | left_out
    except UserError as error:
        return result | {"error": " ".join(str(error).split())}
    except Exception as error:  # whatever is wrong with one picture, the others are done
        log.debug("%s", job.source, exc_info=True)
        return result | {"error": f"cannot be enlarged ({type(error).__name__}: {' '.join(str(error).split())})"}


def _tell(result: dict[str, Any]) -> None:
    with tqdm.external_write_mode(file=sys.stderr):
        if "error" in result:
            click.echo(f"Error: {_shown(result['input'])} {_shown(result['error'])}", err=True)
        else:
            facts = f"{result['width']}x{result['height']}, {result['seconds']:.1f} s"
            without = "".join(f", without its {part}" for part in result.get("left_out", []))
            click.echo(f"{_shown(result['input'])} -> {_shown(result['output'])} ({facts}){without}")


def _shown(text: str) -> str:
    """``text`` for a terminal that takes UTF-8 alone: bytes of a file's name that are not UTF-8 are replaced."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _pixels(path: Path) -> int:
    """Pixels of a picture, from the header of its file; 0 if it is not a picture."""
    try:
        with Image.open(path) as picture:
            return picture.width * picture.height
    except Exception:  # what Pillow's readers raise has no common class; reading the file reports it
        return 0
