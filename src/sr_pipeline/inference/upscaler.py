"""Enlarging pictures of any size in memory that a tile bounds."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from sr_pipeline.errors import UserError
from sr_pipeline.imaging.pure_areas import peak_of, pure_areas, set_pure_areas
from sr_pipeline.imaging.tiling import Tile, Window, area, plan_tiles
from sr_pipeline.inference.engines import Engine
from sr_pipeline.inference.folded_generator import FoldedGenerator
from sr_pipeline.networks.parameters import SCALE

_SMALLEST = 5  # pixels: reflection padding mirrors 4

_TILES = {2: 1024, 4: 720}  # pixels, by bytes a value: 0.6 GB


def smallest_tile(generator: FoldedGenerator) -> int:
    """Edge in pixels of the smallest tiles that a generator can be given."""
    return 2 * generator.reach + 1


class Upscaler:
    """Enlarges pictures by 4, piece by piece, so that memory grows with the tile and not with the picture.

    The trunk sees far (37 pixels for 16 blocks) and needs little memory, so it works on large tiles. What enlarges its
    features sees just 3 of them, and needs 16 times the memory for each: it works on parts of 1/16. Both overlap by
    all they see, so the result is that of the whole picture, except for rounding. All tiles of a picture have the same
    shape, for which oneDNN prepares its operations once. They go one by one: a batch of four of 64x64 takes as long as
    one of 128x128. Several threads may use one at once. Where the picture has one pure colour all around, the
    result has it exactly, whatever the generator makes of it: see ``pure_areas``.

    Args:
        engine: computes the generator.
        tile: edge in pixels of the largest square that the trunk is given; None: one that takes some 0.6 GB.

    Raises:
        UserError: if the generator sees as far as the tile is wide.
    """

    def __init__(self, engine: Engine, tile: int | None = None) -> None:
        generator = engine.generator
        self._engine = engine
        self._tile = tile or _TILES[engine.bytes_per_value]
        self._margin = generator.reach
        if self._tile < smallest_tile(generator):
            raise UserError(
                f"tiles of {tile} pixels are too small for a generator that sees {self._margin} around each; "
                f"take at least {smallest_tile(generator)}"
            )

    def __repr__(self) -> str:
        return f"<Upscaler: {self._engine.name}>"

    def __call__(
        self, image: NDArray, output: NDArray | None = None, progress: Callable[[int, int], None] | None = None
    ) -> NDArray:
        """Enlarge one picture.

        Args:
            image: (h, w, 3) uint8, uint16, or floating between 0 and 1. It is read tile by tile.
            output: (4h, 4w, 3) to write to, such as a ``numpy.memmap``; None: an array of the type of ``image``.
            progress: is called with how many multiplications are done, and how many there are.

        Returns:
            ``output``.
        """
        height, width = image.shape[:2]
        if output is None:
            output = np.empty((SCALE * height, SCALE * width, 3), image.dtype)
        if image.shape != (height, width, 3) or output.shape != (SCALE * height, SCALE * width, 3):
            raise ValueError(f"cannot enlarge an image of shape {image.shape} to one of {output.shape}")
        bottom, right = (max(_SMALLEST - edge, 0) for edge in (height, width))
        if bottom or right:
            image = np.pad(image, ((0, bottom), (0, right), (0, 0)), mode="symmetric")
        # Another thread rounds and writes: 0.2 % of the time on two CPU cores, but a GPU would wait for it.
        with ThreadPoolExecutor(1) as writer:
            written: Future[None] = writer.submit(lambda: None)
            for sr, window, done, total in self._pieces(image):
                written.result()
                if sr is not None:
                    written = writer.submit(_write, sr, output[window])
                if progress:
                    progress(done, total)
            written.result()
        return output

    def _pieces(self, image: NDArray) -> Iterator[tuple[NDArray[np.float32] | None, Window, int, int]]:
        """Pieces of the enlargement as they are ready, where they belong, and multiplications done and in all."""
        engine, generator = self._engine, self._engine.generator
        shape, whole = image.shape[:2], (slice(0, image.shape[0]), slice(0, image.shape[1]))
        tiles = plan_tiles(shape, whole, self._tile, self._margin)
        parts = [plan_tiles(shape, tile.kept, max(self._tile // 4, 16), generator.enlarging_reach) for tile in tiles]
        of_tile = generator.features_macs * area(tiles[0].seen)
        of_part = generator.enlarging_macs * area(parts[0][0].seen)
        total = len(tiles) * (of_tile + len(parts[0]) * of_part)
        done = 0
        for tile, parts_of_tile in zip(tiles, parts, strict=True):
            features = engine.features(_normalized(image[tile.seen]))
            done += of_tile
            yield None, tile.kept, done, total
            for part in parts_of_tile:
                sr = engine.enlarge(features, Tile(tile.seen, part.seen).inside)
                done += of_part
                kept = sr[_enlarged(part.inside)]
                set_pure_areas(kept, pure_areas(image, part.kept), 2 * _normalized(image[part.kept]) - 1, SCALE)
                yield kept, _enlarged(part.kept), done, total


def _enlarged(window: Window) -> Window:
    rows, columns = (slice(SCALE * part.start, SCALE * part.stop) for part in window)
    return rows, columns


def _normalized(image: NDArray) -> NDArray[np.float32]:
    """Values between 0 and 1."""
    return image.astype(np.float32) / np.float32(peak_of(image))


def _write(sr: NDArray[np.float32], output: NDArray) -> None:
    """Write values between -1 and 1, rounded where the output is of whole numbers; what lies beyond it is left out."""
    sr = sr[: output.shape[0], : output.shape[1]]
    peak = np.iinfo(output.dtype).max if np.issubdtype(output.dtype, np.integer) else 1
    scaled = (sr + np.float32(1)) * np.float32(peak / 2)
    if peak > 1:
        np.rint(scaled, out=scaled)
    output[...] = np.clip(scaled, 0, peak, out=scaled)
