"""The curve by which the values of an enlarged picture become those of its input: histogram specification that holds.

Gonzalez & Woods, Digital Image Processing, section 3.3, gives each value the one of the same rank in the other picture.
That is well posed where the reference has all values, as photographs do. In graphics and text a value is the whole of
an area and the next lies far away: a few pixels that enlarging brings from one side of an edge to the other shift all
ranks, and with them an area to a colour between its own and the next. So ranks count only where they are certain.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NEGLIGIBLE = 0.0005  # share of pixels that decides nothing
_AREA = 0.02  # share of pixels: a value that so many have is the colour of an area
_NEAR = 1.5  # levels of 8 bits: what interpolation between neighbouring values of the reference amounts to
_FAR = 9.5  # levels of 8 bits: values of photographs lie closer together, and their ranks are surer than that


@dataclass(frozen=True)
class Scale:
    """The values that a channel can have.

    Attributes:
        low: black.
        high: white.
    """

    low: float
    high: float

    @property
    def level(self) -> float:
        """A step of 8 bits."""
        return (self.high - self.low) / 255


@dataclass(frozen=True, eq=False)
class Distribution:
    """How often each value occurs in a channel.

    Attributes:
        values: those that occur, ascending.
        counts: how often.
    """

    values: NDArray[Any]
    counts: NDArray[np.int64]

    @classmethod
    def of_counts(cls, counts: NDArray[np.int64]) -> "Distribution":
        """From how often 0, 1, 2 and so on occur."""
        values = np.flatnonzero(counts)
        return cls(values, counts[values])

    @cached_property
    def ranks(self) -> NDArray[np.float64]:
        """For each value the share of pixels up to it."""
        ranks: NDArray[np.float64] = np.cumsum(self.counts) / self.counts.sum()
        return ranks

    @property
    def middle_ranks(self) -> NDArray[np.float64]:
        """For each value the share of pixels below it, and of half of its own."""
        return self.ranks - self.counts / (2 * self.counts.sum())

    def middle_rank_of(self, values: NDArray[Any], width: float) -> NDArray[np.float64]:
        """That of any values, each of which stands for all within ``width`` around it."""
        ranks = np.concatenate([[0.0], self.ranks])
        ends = [(values - width / 2, "left"), (values + width / 2, "right")]
        below, up_to = (ranks[np.searchsorted(self.values, end, side)] for end, side in ends)  # type: ignore[call-overload]
        middle: NDArray[np.float64] = (below + up_to) / 2
        return middle

    def share_of(self, places: NDArray[np.int64]) -> NDArray[np.float64]:
        """The share of pixels that have the values of these indices."""
        shares: NDArray[np.float64] = self.counts[places] / self.counts.sum()
        return shares

    def places_of(self, ranks: NDArray[np.float64]) -> NDArray[np.int64]:
        """Index of the value that has each rank."""
        places: NDArray[np.int64] = np.minimum(np.searchsorted(self.ranks, ranks), len(self.values) - 1)
        return places


def matched_values(picture: Distribution, reduced: Distribution, reference: Distribution, scale: Scale) -> NDArray:
    """What each value of a picture becomes.

    A value is known to become the one of its rank if

    - its rank is that of nearly the same value when the picture is reduced: else pixels crossed it because edges are
      sharper, which says nothing about colours;
    - no values of the reference are missing beside that one, on its side; among those that stand apart, as the colours
      of graphics do, only the median of the pixels that have its ranks is known.

    The others lie on straight lines between known ones and the ends of the scale, which stay. Where the reference has
    all values, as in photographs, the result is that of histogram specification.

    Args:
        picture: of the enlarged picture.
        reduced: of the same reduced, in which details are as soft as in the reference.
        reference: of its input.
        scale: of the values.

    Returns:
        For each of ``picture.values`` the new one, ascending, between the least and the greatest of the reference.
    """
    values, wanted = picture.values, reference.values
    middle, when_reduced = picture.middle_ranks, reduced.middle_rank_of(values, scale.level)
    least = wanted[reference.places_of(np.minimum(middle, when_reduced) - _NEGLIGIBLE)]
    most = wanted[reference.places_of(np.maximum(middle, when_reduced) + _NEGLIGIBLE)]
    specified = np.interp(picture.ranks, reference.ranks, wanted)
    in_bounds = np.clip(specified, least, most)
    of_an_area = (least == most) & (reference.share_of(reference.places_of(middle)) >= _AREA)
    close = np.abs(specified - in_bounds) <= _NEAR * scale.level
    specified = np.where(close & ~of_an_area, specified, in_bounds)
    specified[(values == scale.low) & (most == scale.low)] = scale.low  # black of black, not of a little more
    specified[(values == scale.high) & (wanted[-1] == scale.high)] = scale.high  # the highest rank
    far = _FAR * scale.level
    known = (most - least <= far) & _side_is_filled(picture, reference, far)
    knots, new = values[known], np.maximum.accumulate(specified[known])
    if not known[0]:
        knots, new = np.append(scale.low, knots), np.append(scale.low, new)
    if not known[-1]:
        knots, new = np.append(knots, scale.high), np.append(new, scale.high)
    matched: NDArray[np.float64] = np.interp(values, knots, new)
    return np.clip(matched, wanted[0], wanted[-1])


def _side_is_filled(picture: Distribution, reference: Distribution, far: float) -> NDArray[np.bool_]:
    """Whether the reference goes on within ``far`` on the side on which each value lies of the median of its ranks."""
    places = reference.places_of(picture.middle_ranks)
    medians = picture.values[picture.places_of(reference.middle_ranks)][places]
    gaps = np.diff(reference.values, prepend=reference.values[0], append=reference.values[-1])
    filled: NDArray[np.bool_] = np.where(picture.values < medians, gaps[places] <= far, True)
    return filled & np.where(picture.values > medians, gaps[places + 1] <= far, True)
