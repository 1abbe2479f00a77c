"""How good the generator is on fixed validation crops, in numbers and as a picture."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from PIL import Image

from sr_pipeline.imaging.metrics import luma, psnr
from sr_pipeline.imaging.ranges import to_minus_one_one, to_uint8
from sr_pipeline.imaging.resample import enlarge
from sr_pipeline.imaging.sheets import crop_grid, evenly_spaced, low_resolution_panel
from sr_pipeline.imaging.types import RgbImage
from sr_pipeline.networks.lpips import Lpips
from sr_pipeline.networks.parameters import SCALE
from sr_pipeline.training.input import CropPair

Enlarge = Callable[[tf.Tensor], tf.Tensor]
"""From LR (n, h, w, 3) in [0, 1] to SR (n, 4h, 4w, 3) in [-1, 1]."""

PSNR, LPIPS = "validation_psnr_y", "validation_lpips"
_HIGHEST_PSNR = 100.0  # dB, for crops that are all met exactly: a number that histories and MLflow can hold
_SHOWN = 4  # crops of the picture


@dataclass(frozen=True)
class Validation:
    """Fixed crops to measure on.

    Attributes:
        pairs: crops of equal size.
        lpips: the perceptual distance, if its weights are given.
    """

    pairs: list[CropPair]
    lpips: Lpips | None = None

    @property
    def criterion(self) -> tuple[str, Callable[[float], float]]:
        """The metric by which generators are ranked, and what to multiply it with so that more is better."""
        return (LPIPS, lambda value: -value) if self.lpips else (PSNR, lambda value: value)

    def measure(self, generator: Enlarge) -> tuple[dict[str, float], Image.Image]:
        """PSNR-Y in dB of all crops, mean LPIPS, and a picture: LR, bicubic, SR, HR.

        The squared error is averaged over all pixels but a border of the scale, and then given in dB: a mean of the
        crops' own decibels would be ruled by the few smooth ones, and infinite if one of them is met exactly.
        """
        images = super_resolve_crops(generator, self.pairs)
        inner = slice(SCALE, -SCALE)
        expected = np.stack([luma(pair.hr)[inner, inner] for pair in self.pairs])
        measured = np.stack([luma(sr)[inner, inner] for sr in images])
        metrics = {PSNR: min(psnr(expected, measured), _HIGHEST_PSNR)}
        if self.lpips:
            hr = np.stack([pair.hr for pair in self.pairs])
            metrics[LPIPS] = float(
                np.mean(self.lpips(to_minus_one_one(hr), to_minus_one_one(np.stack(images))).numpy())
            )
        shown = evenly_spaced(len(self.pairs), _SHOWN)
        return metrics, picture_of([self.pairs[i] for i in shown], {"SR": [images[i] for i in shown]})


def super_resolve_crops(generator: Enlarge, pairs: list[CropPair]) -> list[RgbImage]:
    """Super-resolve the LR crops of equal size in one batch."""
    lr = np.stack([pair.lr for pair in pairs])
    return list(to_uint8(generator(tf.constant(lr.astype(np.float32) / 255.0)).numpy()))


def picture_of(pairs: list[CropPair], super_resolved: dict[str, list[RgbImage]]) -> Image.Image:
    """One row per crop: LR, bicubic, each entry of ``super_resolved``, HR."""
    return crop_grid(
        {
            "LR": [low_resolution_panel(pair.lr, SCALE) for pair in pairs],
            "bicubic": [enlarge(pair.lr, SCALE, "bicubic") for pair in pairs],
            **super_resolved,
            "HR": [pair.hr for pair in pairs],
        }
    )
