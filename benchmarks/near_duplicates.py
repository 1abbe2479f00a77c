"""How far apart perceptual hashes of copies and of different pictures are.

``python -m benchmarks.near_duplicates FOLDER...`` prints, in bits of 256, the distances between each third picture and
copies of it, the distances between different pictures, and how long MSCOCO's 82,783 training images take to be compared
with 40,504 held-out ones. ``ingest.near_duplicate_bits`` was chosen between the two.
"""

import io
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from sr_pipeline.pictures.opening import picture_files
from sr_pipeline.pipelines.ingest.near_duplicates import BITS, fingerprint, nearest

TRAIN, VAL, TIMED = 82_783, 40_504, 2_000


def main(folders: list[str]) -> None:
    """Measure and print as JSON."""
    files = [file for folder in folders for file in sorted(picture_files(Path(folder)))]
    copied: defaultdict[str, list[int]] = defaultdict(list)
    known = {}
    for number, file in enumerate(files):
        picture = Image.open(file).convert("RGB")
        ours = fingerprint(picture)
        if ours is None:
            continue
        known[file] = ours
        for name, copy in copies(picture) if number % 3 == 0 else ():
            theirs = fingerprint(copy)
            copied[name].append(int(nearest([theirs], [ours])[1][0]) if theirs else BITS)
    signs = 1 - 2 * np.unpackbits([np.frombuffer(each, np.uint8) for each in known.values()], axis=1).astype(np.float32)
    rows, columns = np.triu_indices(len(signs), 1)
    different = ((BITS - signs @ signs.T) / 2)[rows, columns].astype(int)
    names = list(known)
    report = {
        "pictures": len(files),
        "without_a_hash": len(files) - len(known),
        "copies": {name: {"median": float(np.median(bits)), "largest": max(bits)} for name, bits in copied.items()},
        "different": {"pairs": len(different), "mean": different.mean(), "standard_deviation": different.std()},
        "nearest_pairs": [
            [int(different[i]), str(names[rows[i]]), str(names[columns[i]])] for i in different.argsort()[:6]
        ],
        "compare_mscoco_s": _seconds_to_compare(),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def copies(picture: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """What people make of pictures."""
    width, height = picture.size
    yield "JPEG, quality 50", _as_jpeg(picture, 50)
    yield "JPEG, quality 20", _as_jpeg(picture, 20)
    yield "half the size", picture.resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    yield "a quarter of the size", _as_jpeg(picture.resize((width // 4, height // 4), Image.Resampling.BICUBIC), 75)
    yield "twice the size", picture.resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
    yield "a third, nearest neighbour", picture.resize((width // 3, height // 3), Image.Resampling.NEAREST)
    yield "gray", picture.convert("L").convert("RGB")
    yield "brighter by 20 %", picture.point(lambda value: min(255, int(1.2 * value)))
    yield (
        "1 % cut off each side",
        picture.crop((width // 100, height // 100, width - width // 100, height - height // 100)),
    )


def _as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def _seconds_to_compare() -> float:
    rng = np.random.default_rng(0)
    ours, theirs = ([rng.bytes(BITS // 8) for _ in range(count)] for count in (TIMED, VAL))
    started = time.perf_counter()
    nearest(ours, theirs)
    return (time.perf_counter() - started) * TRAIN / TIMED


if __name__ == "__main__":
    main(sys.argv[1:])
