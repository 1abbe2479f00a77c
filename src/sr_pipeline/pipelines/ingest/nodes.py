"""Nodes that list photographs, open each once, and say which are usable."""

import hashlib
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from sr_pipeline.errors import UserError
from sr_pipeline.parameters import IngestParameters
from sr_pipeline.sources.coco import Photograph, read_coco
from sr_pipeline.sources.sample import write_sample

log = logging.getLogger(__name__)

SAMPLE_FOLDER = Path("data/01_raw/sample")


def list_photographs(parameters: IngestParameters) -> list[Photograph]:
    """What the chosen source says it has, nothing opened yet."""
    coco = write_sample(SAMPLE_FOLDER) if parameters.source == "sample" else parameters.coco
    return read_coco(coco, parameters.max_images)


def inspect_photographs(
    photographs: list[Photograph], parameters: IngestParameters
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Open every photograph and record what is in the file.

    Returns:
        The manifest, a row a photograph (columns of ``_row``), and the ingest report
        ``{"total", "ok", "excluded": {reason: count}}``.

    Raises:
        UserError: if a split is left without any usable photograph.
    """
    manifest = pd.DataFrame([_row(photograph, parameters.min_size) for photograph in photographs])
    usable = manifest[manifest["status"] == "ok"]
    for split in ("train", "val"):
        if not (usable["split"] == split).any():
            reasons = Counter(manifest.loc[manifest["split"] == split, "reason"])
            raise UserError(f"no usable photograph in split '{split}': {dict(reasons)}; check ingest.coco.{split}")
    excluded = Counter(manifest.loc[manifest["status"] != "ok", "reason"])
    report = {"total": len(manifest), "ok": len(usable), "excluded": dict(sorted(excluded.items()))}
    log.info("%d of %d photographs are usable, set aside: %s", report["ok"], report["total"], report["excluded"])
    return manifest, report


def _row(photograph: Photograph, min_size: int) -> dict[str, Any]:
    """One row of the manifest; ``width`` and ``height`` are those of the decoded file where there is one."""
    row: dict[str, Any] = {
        **photograph._asdict(),
        "file": photograph.file.as_posix(),
        "mode": "",
        "sha256": "",
        "status": "excluded",
        "reason": "",
    }
    try:
        row["sha256"] = hashlib.sha256(photograph.file.read_bytes()).hexdigest()
        with Image.open(photograph.file) as picture:
            picture.load()
            row["mode"], actual = picture.mode, picture.size
    except FileNotFoundError:
        return row | {"reason": "missing"}
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return row | {"reason": "undecodable"}
    if actual != (photograph.width, photograph.height):
        return row | {"reason": "size contradicts the annotations"}
    if min(actual) < min_size:
        return row | {"reason": "too small"}
    return row | {"status": "ok"}
