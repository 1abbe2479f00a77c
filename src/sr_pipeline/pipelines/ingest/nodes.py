"""Nodes that list photographs, open each once, and say which are usable."""

import hashlib
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.contact_sheet import Thumbnail, contact_sheet
from sr_pipeline.pictures.photographs import UnusablePictureError, decode_rgb
from sr_pipeline.processor import usable_cores
from sr_pipeline.sources.listing import list_source
from sr_pipeline.sources.parameters import IngestParameters
from sr_pipeline.sources.photograph import Photograph

log = logging.getLogger(__name__)

COLUMNS = ["id", "file", "width", "height", "mode", "licence", "categories", "split", "sha256", "status", "reason"]
# Reasons that are not faults of a file: this run just does not want it.
UNWANTED = frozenset({"too small", "also held out"})
_TOGETHER = 32  # photographs per task, so that a task takes longer to do than to hand out
_SHOWN = {"train": 40, "val": 16, "excluded": 16}  # pictures of the contact sheet


def list_photographs(parameters: IngestParameters, seed: int) -> list[Photograph]:
    """What the chosen source says it has, nothing opened yet."""
    return list_source(parameters, seed)


def inspect_photographs(
    photographs: list[Photograph], parameters: IngestParameters
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Open and decode every photograph once, in parallel, and record what is in the file.

    Returns:
        The manifest, one row per photograph (``COLUMNS``), and the ingest report
        ``{"total", "ok", "excluded": {reason: count}}``.

    Raises:
        UserError: if a split is left without any usable photograph, or too many files are bad.
    """
    manifest = pd.DataFrame(list(_inspect_all(photographs, parameters)), columns=COLUMNS)
    _set_aside_held_out(manifest)
    excluded = Counter(manifest.loc[manifest["status"] != "ok", "reason"])
    report = {
        "total": len(manifest),
        "ok": int((manifest["status"] == "ok").sum()),
        "excluded": dict(sorted(excluded.items())),
    }
    log.info("%d of %d photographs are usable, set aside: %s", report["ok"], report["total"], report["excluded"])
    _check_share_of_bad(manifest, parameters.max_bad_fraction)
    _check_splits(manifest)
    return manifest, report


def draw_contact_sheet(images: pd.DataFrame) -> Image.Image:
    """A picture of what came in: some usable photographs of each split, and some that were set aside."""
    usable = images["status"] == "ok"
    sections = {
        f"{split}: {int((usable & (images['split'] == split)).sum())} photographs": images[
            usable & (images["split"] == split)
        ]
        for split in ("train", "val")
    }
    sections[f"set aside: {int((~usable).sum())} files"] = images[~usable]
    return contact_sheet(
        {
            title: _thumbnails(rows, count)
            for (title, rows), count in zip(sections.items(), _SHOWN.values(), strict=True)
        }
    )


def _thumbnails(rows: pd.DataFrame, count: int) -> list[Thumbnail]:
    """Evenly spread over the rows."""
    count = min(count, len(rows))
    chosen = rows.iloc[[i * len(rows) // count for i in range(count)]]
    return [Thumbnail(row["file"], Path(row["file"]).name, row["reason"]) for row in chosen.to_dict("records")]


def _inspect_all(photographs: list[Photograph], parameters: IngestParameters) -> Iterator[dict[str, Any]]:
    """Rows of the manifest in the order of ``photographs``; Pillow decodes outside Python's lock, so threads do."""
    from tqdm import tqdm

    def rows(start: int) -> list[dict[str, Any]]:
        return [_row(photograph, parameters) for photograph in photographs[start : start + _TOGETHER]]

    with (
        warnings.catch_warnings(),
        ThreadPoolExecutor(parameters.workers or usable_cores()) as pool,
        tqdm(total=len(photographs), desc="photographs", unit="file", disable=None) as bar,
    ):
        warnings.filterwarnings("ignore", module="PIL")  # the manifest says what is wrong with which file
        for done in pool.map(rows, range(0, len(photographs), _TOGETHER)):  # left early, it cancels the rest
            bar.update(len(done))
            yield from done


def _row(photograph: Photograph, parameters: IngestParameters) -> dict[str, Any]:
    """One row of the manifest; ``width`` and ``height`` are those of the upright picture if it was decoded."""
    row: dict[str, Any] = {
        "id": photograph.id,
        "file": str(photograph.file),
        "width": photograph.width or 0,
        "height": photograph.height or 0,
        "mode": "",
        "licence": photograph.licence,
        "categories": list(photograph.categories),
        "split": photograph.split,
        "sha256": "",
        "status": "excluded",
        "reason": "",
    }
    try:
        content = _read(photograph, parameters.max_pixels)
        row["sha256"] = hashlib.sha256(content).hexdigest()
        decoded = decode_rgb(content, parameters.max_pixels)
    except FileNotFoundError:
        return row | {"reason": "missing"}
    except OSError:
        return row | {"reason": "unreadable"}
    except UnusablePictureError as error:
        return row | {"reason": error.reason}
    width, height = decoded.picture.size
    row |= {"mode": decoded.mode, "width": width, "height": height}
    # Annotators differ in whether they measure a turned picture before or after turning it.
    if photograph.width and (photograph.width, photograph.height) not in ((width, height), decoded.stored_size):
        return row | {"reason": "size contradicts the annotations"}
    if min(width, height) < parameters.min_size:
        return row | {"reason": "too small"}
    return row | {"status": "ok"}


def _read(photograph: Photograph, max_pixels: int) -> bytes:
    """The file's bytes; a file larger than any picture of the allowed size is not read into memory."""
    if photograph.file.stat().st_size > 8 * max_pixels + (1 << 20):
        raise UnusablePictureError("decompression bomb")
    return photograph.file.read_bytes()


def _set_aside_held_out(manifest: pd.DataFrame) -> None:
    """Do not train on a copy of a held-out photograph under another name."""
    usable = manifest["status"] == "ok"
    held_out = manifest.loc[usable & (manifest["split"] == "val"), "sha256"]
    copies = usable & (manifest["split"] == "train") & manifest["sha256"].isin(held_out)
    manifest.loc[copies, ["status", "reason"]] = ["excluded", "also held out"]


def _check_share_of_bad(manifest: pd.DataFrame, max_bad_fraction: float) -> None:
    bad = manifest[(manifest["status"] != "ok") & ~manifest["reason"].isin(UNWANTED)]
    for file, reason in zip(bad["file"][:20], bad["reason"][:20], strict=True):
        log.warning("%s: %s", file, reason)
    if len(bad) > 20:
        log.warning("and %d more", len(bad) - 20)
    if len(bad) > max(1, max_bad_fraction * len(manifest)):
        reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(bad["reason"]).most_common())
        raise UserError(
            f"{len(bad)} of {len(manifest)} photographs are bad ({reasons}), more than ingest.max_bad_fraction="
            f"{max_bad_fraction} allows; fix or remove them (the log names some), or raise it"
        )


def _check_splits(manifest: pd.DataFrame) -> None:
    for split in ("train", "val"):
        rows = manifest[manifest["split"] == split]
        if not (rows["status"] == "ok").any():
            reasons = dict(Counter(rows["reason"]))
            raise UserError(f"no usable photograph in split '{split}': {reasons}; check the source of ingest")
