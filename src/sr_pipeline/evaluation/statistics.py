"""Means over pictures, and their confidence intervals."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PairedDifference = tuple[str, str]
"""Methods (a, b), whose difference a - b is taken picture by picture."""

FEWEST = 5
"""Pictures from which on an interval is taken for a judgement: with fewer, those of skewed differences hold too rarely
(docs/evaluation.md has what was measured)."""


def mean_with_interval(values: NDArray[np.float64], confidence: float) -> dict[str, Any]:
    """Mean of ``values`` (n,) and its confidence interval by Student's t.

    Student 1908, "The probable error of a mean", Biometrika 6(1): mean +- t * s / sqrt(n), with t the quantile of
    n - 1 degrees of freedom. Unlike the percentile bootstrap, it is wide enough for few values.

    Returns:
        ``mean``, ``low``, ``high`` and ``n``. The bounds are None for a single value, and all but ``n`` is None
        where the mean is infinite.
    """
    count, mean = len(values), float(np.mean(values))
    if not math.isfinite(mean):
        return {"mean": None, "low": None, "high": None, "n": count}
    if count == 1:
        return {"mean": mean, "low": None, "high": None, "n": 1}
    from scipy.stats import t

    # Of equal values the mean may differ by rounding, and so would a deviation from it.
    deviation = float(np.std(values, ddof=1)) if np.ptp(values) else 0.0
    margin = float(t.ppf((1 + confidence) / 2, count - 1)) * deviation / math.sqrt(count)
    return {"mean": mean, "low": mean - margin, "high": mean + margin, "n": count}


def summarize(
    per_image: pd.DataFrame, pairs: Iterable[PairedDifference], confidence: float
) -> dict[str, dict[str, Any]]:
    """Means of methods, and of differences between them on the same pictures, with intervals.

    Args:
        per_image: columns ``set``, ``image``, ``method``, and one per metric.
        pairs: of methods to compare; a pair is left out unless both were measured.
        confidence: of the intervals, such as 0.95.

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
            "methods": {method: _intervals(table, confidence) for method, table in by_method.items()},
            "differences": {pair: _intervals(table, confidence) for pair, table in differences.items()},
        }
    return summary


def _intervals(table: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """Intervals by metric, each over the pictures on which that metric was measured."""
    return {
        str(metric): mean_with_interval(values.to_numpy(), confidence)
        for metric, column in table.items()
        if len(values := column.dropna())
    }
