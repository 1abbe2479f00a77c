"""How often 95 % intervals of a mean hold the true one: ``python -m benchmarks.intervals [per_image.csv ...]``.

Differences of nothing are drawn from distributions of mean 0: normal, exponential, and the paired differences of all
methods in the tables that evaluations wrote, each moved to mean 0.
"""

import sys
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sr_pipeline.evaluation.statistics import mean_with_interval

COUNTS = (2, 3, 4, 5, 10, 14, 20, 100)
CONFIDENCE = 0.95
_TRIALS = 2000
_RESAMPLES = 1000

Draw = Callable[[tuple[int, int]], NDArray[np.float64]]


def held_by_t(samples: NDArray[np.float64]) -> float:
    """Share of Student's intervals of the rows of ``samples`` that hold 0."""
    found = (mean_with_interval(sample, CONFIDENCE) for sample in samples)
    return float(np.mean([interval["low"] <= 0 <= interval["high"] for interval in found]))


def held_by_bootstrap(samples: NDArray[np.float64], rng: np.random.Generator) -> float:
    """The same of percentile bootstrap intervals (Efron & Tibshirani 1993, section 13.3)."""
    held = []
    for sample in samples:
        means = rng.choice(sample, (_RESAMPLES, len(sample))).mean(axis=1)
        low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        held.append(low <= 0 <= high)
    return float(np.mean(held))


def distributions(tables: list[str], rng: np.random.Generator) -> Iterator[tuple[str, Draw]]:
    """Names, and what draws samples of mean 0."""
    yield "normal", lambda shape: rng.normal(size=shape)
    yield "exponential", lambda shape: rng.exponential(size=shape) - 1
    for table in tables:
        rows = pd.read_csv(table)
        for metric in rows.columns.drop(["set", "image", "method"]):
            by_method = rows.pivot_table(index=["set", "image"], columns="method", values=metric).dropna()
            for first, second in combinations(by_method.columns, 2):
                values = (by_method[first] - by_method[second]).to_numpy()
                yield f"{first} - {second}, {metric}", _drawn_from(values - values.mean(), rng)


def _drawn_from(values: NDArray[np.float64], rng: np.random.Generator) -> Draw:
    return lambda shape: rng.choice(values, shape)


def main() -> None:
    """Print a row for each distribution and method."""
    rng = np.random.default_rng(0)
    _write_row("n", [str(count) for count in COUNTS])
    for name, draw in distributions(sys.argv[1:], rng):
        samples = [draw((_TRIALS, count)) for count in COUNTS]
        _write_row(f"{name}: Student", [f"{held_by_t(sample):.3f}" for sample in samples])
        _write_row(f"{name}: bootstrap", [f"{held_by_bootstrap(sample, rng):.3f}" for sample in samples])


def _write_row(title: str, cells: list[str]) -> None:
    sys.stdout.write(f"{title:50}" + "".join(f"{cell:>6}" for cell in cells) + "\n")


if __name__ == "__main__":
    main()
