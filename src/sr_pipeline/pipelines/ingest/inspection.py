"""Opening photographs, on threads of this machine or on the workers of a Dask cluster, with the same result."""

import hashlib
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from sr_pipeline.dask_cluster import scheduler_client
from sr_pipeline.errors import UserError
from sr_pipeline.pictures.photographs import UnusablePictureError, decode_rgb
from sr_pipeline.pipelines.ingest.near_duplicates import fingerprint
from sr_pipeline.processor import usable_cores
from sr_pipeline.sources.parameters import IngestParameters
from sr_pipeline.sources.photograph import Photograph, printable
from sr_pipeline.storage import locate

COLUMNS = ["id", "file", "width", "height", "mode", "licence", "categories", "split", "sha256", "status", "reason"]
FINGERPRINT = "fingerprint"
"""A further column, which the manifest does not keep."""

# Photographs per task, so that a task takes longer to do than to hand out: to a thread, to another process.
_TOGETHER, _TOGETHER_ON_CLUSTER = 32, 128


class Limits(NamedTuple):
    """What a photograph is held against."""

    max_pixels: int
    min_size: int
    fingerprints: bool
    """Whether to compute the perceptual hash of usable ones."""


def inspect_all(photographs: list[Photograph], parameters: IngestParameters) -> Iterator[dict[str, Any]]:
    """Rows of the manifest with ``FINGERPRINT``, in the order of ``photographs``.

    Raises:
        UserError: if the Dask scheduler does not answer, or its workers keep dying.
    """
    from tqdm import tqdm

    limits = Limits(parameters.max_pixels, parameters.min_size, parameters.near_duplicate_bits is not None)
    chunks = _on_cluster if parameters.scheduler else _on_threads
    with tqdm(total=len(photographs), desc="photographs", unit="file", disable=None) as bar:
        for rows in chunks(photographs, limits, parameters):
            bar.update(len(rows))
            yield from rows


def _on_threads(
    photographs: list[Photograph], limits: Limits, parameters: IngestParameters
) -> Iterator[list[dict[str, Any]]]:
    """Pillow decodes outside Python's lock, so threads do."""

    def rows(start: int) -> list[dict[str, Any]]:
        return [_row(photograph, limits) for photograph in photographs[start : start + _TOGETHER]]

    with warnings.catch_warnings(), ThreadPoolExecutor(parameters.workers or usable_cores()) as pool:
        warnings.filterwarnings("ignore", module="PIL")  # the manifest says what is wrong with which file
        try:
            yield from pool.map(rows, range(0, len(photographs), _TOGETHER))
        finally:
            pool.shutdown(cancel_futures=True)


def _on_cluster(
    photographs: list[Photograph], limits: Limits, parameters: IngestParameters
) -> Iterator[list[dict[str, Any]]]:
    from distributed import KilledWorker

    assert parameters.scheduler is not None
    with scheduler_client(parameters.scheduler, "ingest.scheduler") as client:
        tasks = [
            photographs[start : start + _TOGETHER_ON_CLUSTER]
            for start in range(0, len(photographs), _TOGETHER_ON_CLUSTER)
        ]
        # Absolute, because workers start in folders of their own. One by one, as the shards of materialize.
        futures = [
            client.submit(_rows_on_worker, [p._replace(file=locate(p.file)) for p in task], limits, pure=False)
            for task in tasks
        ]
        try:
            for task, future in zip(tasks, futures, strict=True):
                yield [
                    row | {"file": printable(str(photograph.file))}
                    for row, photograph in zip(future.result(), task, strict=True)
                ]
                future.release()
        except KilledWorker as error:
            raise UserError(
                f"Dask workers died again and again on photographs ({error.last_worker}); they may lack memory: start "
                "fewer on a machine, or set ingest.max_pixels lower"
            ) from error
        finally:
            client.cancel(futures)


def _rows_on_worker(photographs: list[Photograph], limits: Limits) -> list[dict[str, Any]]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        return [_row(photograph, limits) for photograph in photographs]


def _row(photograph: Photograph, limits: Limits) -> dict[str, Any]:
    """One row of the manifest; ``width`` and ``height`` are those of the upright picture if it was decoded."""
    name = str(photograph.file)
    row: dict[str, Any] = {
        "id": photograph.id,
        "file": printable(name),
        "width": photograph.width or 0,
        "height": photograph.height or 0,
        "mode": "",
        "licence": printable(photograph.licence),
        "categories": [printable(category) for category in photograph.categories],
        "split": photograph.split,
        "sha256": "",
        "status": "excluded",
        "reason": "",
        FINGERPRINT: None,
    }
    try:
        if row["file"] != name:
            raise UnusablePictureError("file name is not UTF-8")  # as which the manifest has to name it
        _inspect(photograph, limits, row)
        row["status"] = "ok"
    except FileNotFoundError:
        row["reason"] = "missing"
    except OSError:
        row["reason"] = "unreadable"
    except UnusablePictureError as error:
        row["reason"] = error.reason
    return row


def _inspect(photograph: Photograph, limits: Limits, row: dict[str, Any]) -> None:
    """Write what is in the file into its row, as far as that is known until something is wrong with it."""
    content = _read(photograph, limits.max_pixels)
    row["sha256"] = hashlib.sha256(content).hexdigest()
    decoded = decode_rgb(content, limits.max_pixels)
    width, height = decoded.picture.size
    row |= {"mode": decoded.mode, "width": width, "height": height}
    # Annotators differ in whether they measure a turned picture before or after turning it.
    if not any(_fits(photograph, size) for size in ((width, height), decoded.stored_size)):
        raise UnusablePictureError("size contradicts the annotations")
    if min(width, height) < limits.min_size:
        raise UnusablePictureError("too small")
    if limits.fingerprints:
        row[FINGERPRINT] = fingerprint(decoded.picture)


def _fits(photograph: Photograph, size: tuple[int, int]) -> bool:
    """Whether this is what the source says, as far as it says something."""
    return photograph.width in (None, 0, size[0]) and photograph.height in (None, 0, size[1])


def _read(photograph: Photograph, max_pixels: int) -> bytes:
    """The file's bytes; a file larger than any picture of the allowed size is not read into memory.

    Raises:
        OSError: if it cannot be read, whatever the package for its storage raises then.
    """
    try:
        if photograph.file.stat().st_size > 8 * max_pixels + (1 << 20):
            raise UnusablePictureError("decompression bomb")
        return photograph.file.read_bytes()
    except (OSError, UnusablePictureError):
        raise
    except Exception as error:
        raise OSError(str(error)) from error
