"""What a training reports while it runs: to an observer, as times, as lines of progress, and as a warning."""

import logging
import time
from collections.abc import Iterator
from typing import Any, Protocol

from PIL import Image
from tqdm import tqdm

from sr_pipeline.errors import UserError
from sr_pipeline.training.input import CropPair

log = logging.getLogger(__name__)

# A generator learns little from a discriminator whose loss stays below _WON_LOSS for _WON_STEPS steps.
_WON_LOSS, _WON_STEPS = 0.01, 200


class Observer(Protocol):
    """Sees how the training goes, as it goes."""

    def __call__(self, metrics: dict[str, float], step: int, picture: Image.Image | None = None) -> bool | None:
        """Take ``metrics`` of global step ``step``, counted over all phases from 1, and at times a picture.

        Returns:
            True to end the training, if it is in its last phase: the next step will be its last.
        """


class Stopwatch:
    """Where the time of the steps since the last report went."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._waited = 0.0
        self._steps = 0

    def next(self, batches: Iterator[CropPair]) -> CropPair:
        """Take the next batch, and the time that takes.

        Raises:
            UserError: if it cannot be read.
        """
        before = time.perf_counter()
        try:
            return next(batches)
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"the crops cannot be read any more ({reason}); make them again with kedro run "
                "--pipelines=materialize: the training then goes on from its newest checkpoint"
            ) from error
        finally:
            self._waited += time.perf_counter() - before
            self._steps += 1

    def read(self, batch_size: int) -> dict[str, float]:
        """Seconds per step, images per second, and the part of the time spent waiting for input."""
        elapsed = time.perf_counter() - self._started
        return {
            "step_seconds": elapsed / self._steps,
            "images_per_second": batch_size * self._steps / elapsed,
            "input_wait": self._waited / elapsed,
        }


class DiscriminatorWatch:
    """Warns, once, of a discriminator that has won."""

    def __init__(self) -> None:
        self._won_steps = 0

    def see(self, losses: dict[str, float], step: int) -> None:
        """Take the losses of a step."""
        won = "discriminator_hr" in losses and losses["discriminator_loss"] < _WON_LOSS
        self._won_steps = self._won_steps + 1 if won else 0
        if self._won_steps == _WON_STEPS:
            log.warning(
                "the discriminator has won: its loss was below %g for %d steps up to step %d, so the generator learns "
                "little from it; a lower learning rate, a smaller discriminator (recipes.<name>.discriminator) or the "
                "objective 'wasserstein' may help",
                _WON_LOSS,
                _WON_STEPS,
                step,
            )


def loss_text(metrics: dict[str, Any]) -> str:
    """Losses and validation metrics in short."""
    shown = [f"{name} {value:.4f}" for name, value in metrics.items() if name.endswith("_loss")]
    if "validation_psnr_y" in metrics:
        shown.append(f"validation {metrics['validation_psnr_y']:.2f} dB")
    if "validation_lpips" in metrics:
        shown.append(f"LPIPS {metrics['validation_lpips']:.4f}")
    return ", ".join(shown)


def progress_line(phase: tuple[str, int], number: int, metrics: dict[str, Any], timings: dict[str, float]) -> str:
    """A line of the log: where in the ``phase``, of that name and number of steps, and how long to its end."""
    name, steps = phase
    remaining = tqdm.format_interval((steps - number) * timings["step_seconds"])
    speed = f"{timings['images_per_second']:.1f} images/s"
    return f"{name} {number}/{steps}, {loss_text(metrics)}, {speed}, {remaining} left"
