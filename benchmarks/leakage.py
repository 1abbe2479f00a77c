"""Is a test picture among the training photographs, perhaps cut or shrunk?

    python -m benchmarks.leakage data/01_raw/release data/01_raw/benchmarks

Test sets share pictures with training sets: Set5's "woman" is 302003.jpg of BSDS500/train, at 71 % of its size, so no
hash finds it. Here corners are compared (ORB; Rublee et al. 2011), and a pair counts if one affine map explains many of
their matches. Exit code 1 if there is such a pair.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.feature import ORB
from skimage.measure import ransac
from skimage.transform import AffineTransform

from sr_pipeline.pictures.opening import picture_files

_EDGE = 400  # pixels of the longer edge at which pictures are compared
_BITS = 30  # of 256 in which descriptors of the same corner may differ
_ENOUGH = 5  # matches of one map; unrelated photographs have 0 or 1


class Corners(NamedTuple):
    """Positions (n, 2) and descriptors (n, 256) of ±1."""

    positions: NDArray[np.float64]
    descriptors: NDArray[np.float32]


def main() -> None:
    """Compare all pictures below the first folder with all below the others."""
    training, *tests = (_pictures(Path(folder)) for folder in sys.argv[1:])
    tested = [picture for pictures in tests for picture in pictures]
    with ProcessPoolExecutor() as pool:
        of_training, of_tested = (list(pool.map(_corners, files, chunksize=8)) for files in (training, tested))
    owners = np.repeat(np.arange(len(training)), [len(corners.positions) for corners in of_training])
    found = 0
    for file, corners in zip(tested, of_tested, strict=True):
        for index in _owners_of_matches(corners, of_training, owners):
            matches = _common(corners, of_training[index])
            if matches >= _ENOUGH:
                found += 1
                click.echo(f"{file} looks like {training[index]}: {matches} corners in common")
    click.echo(f"{len(tested)} test pictures, {len(training)} training photographs, {found} pairs alike")
    sys.exit(bool(found))


def _pictures(folder: Path) -> list[Path]:
    return sorted(picture_files(folder))


def _corners(file: Path) -> Corners:
    picture = Image.open(file).convert("L")
    picture.thumbnail((_EDGE, _EDGE), Image.Resampling.BOX)
    detector = ORB(n_keypoints=250, fast_threshold=0.05)
    try:
        detector.detect_and_extract(np.asarray(picture) / 255)
    except RuntimeError:  # no corner at all
        return Corners(np.zeros((0, 2)), np.zeros((0, 256), np.float32))
    return Corners(detector.keypoints, detector.descriptors.astype(np.float32) * 2 - 1)


def _similar(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.intp]:
    """Pairs of rows that differ in few bits."""
    return np.argwhere(one @ other.T > 256 - 2 * _BITS)


def _owners_of_matches(corners: Corners, training: list[Corners], owners: NDArray[np.intp]) -> list[int]:
    every = np.concatenate([other.descriptors for other in training])
    index, count = np.unique(owners[_similar(corners.descriptors, every)[:, 1]], return_counts=True)
    return [int(owner) for owner in index[count >= _ENOUGH]]


def _common(one: Corners, other: Corners) -> int:
    """How many corners of ``one`` are in ``other`` at the positions given by one affine map."""
    mine, theirs = _similar(one.descriptors, other.descriptors).T
    points = (one.positions[mine], other.positions[theirs])
    _, inliers = ransac(points, AffineTransform, min_samples=3, residual_threshold=4, max_trials=100, rng=0)
    return 0 if inliers is None else len(np.unique(mine[inliers]))


if __name__ == "__main__":
    main()
