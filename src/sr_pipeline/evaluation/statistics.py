"""Means over pictures, and their confidence intervals."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_BATCH = 1_000_000  # drawn values in memory at once

PairedDifference = tuple[str, str]
"""Methods (a, b), whose difference a - b is taken picture by picture."""


class Resampling(NamedTuple):
    """How intervals are made: percentile bootstrap (Efron & Tibshirani 1993, section 13.3).

    Attributes:
        confidence: share of resampled means inside the interval.
        resamples: their number.
        seed: of the resampling; equal seeds give equal intervals.
    """

    confidence: float
    resamples: int
    seed: int


def mean_with_interval(values: NDArray[np.float64], resampling: Resampling) -> dict[str, Any]:
    """Mean of ``values`` (n,) and its confidence interval.

    Returns:
        ``mean``, ``low``, ``high`` and ``n``. The bounds are None for a single value, and all but ``n`` is None
        where the mean is infinite.
    """
    count, mean = len(values), float(np.mean(values))
    if not math.isfinite(mean):
        return {"mean": None, "low": None, "high": None, "n": count}
    if count == 1:
        return {"mean": mean, "low": None, "high": None, "n": 1}
    from scipy.stats import bootstrap

    interval = bootstrap(
        (values,),
        np.mean,
        n_resamples=resampling.resamples,
        batch=max(_BATCH // count, 1),
        confidence_level=resampling.confidence,
        method="percentile",
        rng=np.random.default_rng(resampling.seed),
    ).confidence_interval
    low, high = sorted(map(float, interval))  # of equal values, interpolation may round them past each other
    return {"mean": mean, "low": low, "high": high, "n": count}


def summarize(
    per_image: pd.DataFrame, pairs: Iterable[PairedDifference], resampling: Resampling
) -> dict[str, dict[str, Any]]:
    """Means of methods, and of differences between them on the same pictures, with intervals.

    Args:
        per_image: columns ``set``, ``image``, ``method``, and one per metric.
        pairs: of methods to compare; a pair is left out unless both were measured.
        resampling: of the intervals.

    Returns:
        ``{set: {"methods": {method: {metric: interval}}, "differences": {"a - b": {metric: interval}}}}``.
    """
    metrics = [column for column in per_image.columns if column not in ("set", "image", "method")]
    summary: dict[str, dict[str, Any]] = {}
    for name, rows in per_image.groupby("set", sort=False):
        by_method = {
            str(method): group.set_index("image")[metrics].astype(np.float64)
            for method, group in rows.groupby("method", sort=False)
        }
        differences = {f"{a} - {b}": by_method[a] - by_method[b] for a, b in pairs if a in by_method and b in by_method}
        summary[str(name)] = {
            "methods": {method: _intervals(table, resampling) for method, table in by_method.items()},
            "differences": {pair: _intervals(table, resampling) for pair, table in differences.items()},
        }
    return summary


def _intervals(table: pd.DataFrame, resampling: Resampling) -> dict[str, Any]:
    """Intervals by metric, each over the pictures on which that metric was measured."""
    return {
        str(metric): mean_with_interval(values.to_numpy(), resampling)
        for metric, column in table.items()
        if len(values := column.dropna())
    }
