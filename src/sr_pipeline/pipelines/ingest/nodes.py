"""Nodes that list photographs, open each once, and say which are usable."""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.pictures.contact_sheet import Thumbnail, contact_sheet
from sr_pipeline.pipelines.ingest.inspection import COLUMNS, FINGERPRINT, inspect_all
from sr_pipeline.pipelines.ingest.near_duplicates import nearest
from sr_pipeline.sources.listing import list_source
from sr_pipeline.sources.parameters import IngestParameters
from sr_pipeline.sources.photograph import Photograph

log = logging.getLogger(__name__)

# Reasons that are not faults of a file: this run just does not want it.
UNWANTED = frozenset({"too small", "also held out"})
_ALSO_HELD_OUT = ["excluded", "also held out"]
_NAMED = 20  # files that the log names of those set aside for one cause
_SHOWN = {"train": 40, "val": 16, "excluded": 16}  # pictures of the contact sheet


def list_photographs(parameters: IngestParameters, seed: int) -> list[Photograph]:
    """What the chosen source says it has, nothing opened yet."""
    return list_source(parameters, seed)


def inspect_photographs(
    photographs: list[Photograph], parameters: IngestParameters
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Open and decode every photograph once, in parallel or on a cluster, and record what is in the file.

    Returns:
        The manifest, one row per photograph (``COLUMNS``), and the ingest report
        ``{"total", "ok", "excluded": {reason: count}}``.

    Raises:
        UserError: if a split is left without any usable photograph, or too many files are bad.
    """
    manifest = pd.DataFrame(list(inspect_all(photographs, parameters)), columns=[*COLUMNS, FINGERPRINT])
    _set_aside_held_out(manifest, parameters.near_duplicate_bits)
    manifest = manifest[COLUMNS]
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


def _set_aside_held_out(manifest: pd.DataFrame, near_duplicate_bits: int | None) -> None:
    """Do not train on a copy of a held-out photograph under another name, nor on one saved anew or in another size."""
    usable = manifest["status"] == "ok"
    held_out = manifest[usable & (manifest["split"] == "val")]
    copies = usable & (manifest["split"] == "train") & manifest["sha256"].isin(held_out["sha256"])
    manifest.loc[copies, ["status", "reason"]] = _ALSO_HELD_OUT
    if near_duplicate_bits is not None:
        _set_aside_near_duplicates(manifest, held_out, near_duplicate_bits)


def _set_aside_near_duplicates(manifest: pd.DataFrame, held_out: pd.DataFrame, near_duplicate_bits: int) -> None:
    known = manifest[FINGERPRINT].notna()
    usable = manifest[known & (manifest["status"] == "ok") & (manifest["split"] == "train")]
    held_out = held_out[held_out[FINGERPRINT].notna()]
    if not len(usable) or not len(held_out):
        return
    places, bits = nearest(usable[FINGERPRINT].to_list(), held_out[FINGERPRINT].to_list())
    near = bits <= near_duplicate_bits
    manifest.loc[usable.index[near], ["status", "reason"]] = _ALSO_HELD_OUT
    for file, place in list(zip(usable["file"][near], places[near], strict=True))[:_NAMED]:
        log.info("%s looks like %s, which is held out", file, held_out["file"].iloc[place])
    if near.sum() > _NAMED:
        log.info("and %d more photographs look like held-out ones", near.sum() - _NAMED)


def _check_share_of_bad(manifest: pd.DataFrame, max_bad_fraction: float) -> None:
    bad = manifest[(manifest["status"] != "ok") & ~manifest["reason"].isin(UNWANTED)]
    for file, reason in zip(bad["file"][:_NAMED], bad["reason"][:_NAMED], strict=True):
        log.warning("%s: %s", file, reason)
    if len(bad) > _NAMED:
        log.warning("and %d more", len(bad) - _NAMED)
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
