"""Whether a training goes on, and from which checkpoint: the choice that ``train.resume`` makes."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sr_pipeline.errors import UserError
from sr_pipeline.training.checkpoint import Checkpoint, Checkpoints

log = logging.getLogger(__name__)

Resume = Literal[True, False, "any"]


def choose_checkpoint(checkpoints: Checkpoints, resume: Resume, last_step: int) -> Checkpoint | None:
    """The checkpoint to go on from; None to start over.

    Args:
        checkpoints: those of the present code, in a folder beside those of other code.
        resume: True, from one of the present code; ``any``, from the one written last, whatever code wrote it; False,
            from none: those of the present code are removed.
        last_step: of the training.

    Raises:
        UserError: if ``resume`` is True, and other code or libraries began the training and did not finish it.
    """
    if resume is False:
        checkpoints.clear()
        return None
    if resume == "any":
        return _newest_of_any(checkpoints, last_step)
    own = checkpoints.newest(last_step)
    if own is None and checkpoints.newest_step is not None:
        log.warning(
            "the checkpoints kept of this training are of step %d and around; it ends at step %d now and starts over",
            checkpoints.newest_step,
            last_step,
        )
    elif own is None:
        _check_others(checkpoints, last_step)
    return own


def _newest_of_any(checkpoints: Checkpoints, last_step: int) -> Checkpoint | None:
    """The newest checkpoint of the folder that was written last."""
    everyone = sorted([checkpoints, *_others(checkpoints)], key=lambda each: each.written, reverse=True)
    return next((found for each in everyone if (found := each.newest(last_step))), None)


def _check_others(checkpoints: Checkpoints, last_step: int) -> None:
    """Refuse to start over where the training that other code wrote last is not finished."""
    last = max(_others(checkpoints), key=lambda each: each.written, default=None)
    step = last.newest_step if last else None
    if step is None:
        return
    if step < last_step:
        raise UserError(
            f"this training was interrupted at step {step} of {last_step}, and code or libraries have changed since; "
            "train.resume=any goes on from there, train.resume=false starts over"
        )
    log.info("code or libraries have changed since this training was finished: it starts over")


def _others(checkpoints: Checkpoints) -> Iterator[Checkpoints]:
    """Checkpoints of the same training by other code."""
    for folder in sorted(Path(checkpoints.folder).parent.glob("*/")):
        if folder != checkpoints.folder:
            yield Checkpoints(folder, keep=1, writes=False)
