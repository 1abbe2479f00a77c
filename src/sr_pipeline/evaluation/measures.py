"""How each metric is shown and read."""

from typing import NamedTuple

from sr_pipeline.evaluation.parameters import LPIPS, VGG_DISTANCE


class Measure(NamedTuple):
    """A metric as people see it.

    Attributes:
        label: its name in tables and pictures, with its unit.
        higher_is_better: whether more is better.
        decimals: digits after the point in tables.
    """

    label: str
    higher_is_better: bool
    decimals: int = 4


MEASURES = {
    "psnr_y": Measure("PSNR-Y (dB)", True, 2),
    "ssim_y": Measure("SSIM-Y", True),
    "psnr_rgb": Measure("PSNR-RGB (dB)", True, 2),
    "ssim_rgb": Measure("SSIM-RGB", True),
    "ssim_daala": Measure("SSIM-Y (daala)", True),
    "consistency": Measure("consistency (dB)", True, 2),
    "ciede2000": Measure("CIEDE2000", False, 2),
    VGG_DISTANCE: Measure("VGG distance", False),
    LPIPS: Measure("LPIPS", False),
}
"""All metrics by name, in the order of the tables."""
