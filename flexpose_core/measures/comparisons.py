"""Is one figure lower than another, over seeds: ratios, their intervals, and what they say of a claim."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from flexpose_core.errors import DataError

CONFIDENCE = 0.95
Expectation = Literal["better", "not-worse", "alike"]
Verdict = Literal["holds", "does not hold", "undecided"]


@dataclass(frozen=True)
class Interval:
    """A mean and its two-sided confidence interval; infinitely wide for a single value."""

    mean: float
    low: float
    high: float


def log_ratios(first: Sequence[float], second: Sequence[float]) -> np.ndarray:
    """Return ln(first / second) of each pair of positive figures, (N,): negative where the first is lower.

    Raises
    ------
    DataError
        If the lengths differ, there is none, or one is not positive.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape or a.ndim != 1 or not len(a) or not (a > 0).all() or not (b > 0).all():
        raise DataError(f"comparison: expected pairs of positive figures, found {list(first)} and {list(second)}")
    return np.log(a / b)


def t_interval(values: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """Return mean ± t · s / √N of values (N,), t Student's quantile with N - 1 degrees of freedom (Student 1908)."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(stats.t.ppf(0.5 + confidence / 2, len(values) - 1)) * error
    return Interval(mean, mean - reach, mean + reach)


def claimed_range(expects: Expectation, margin: float) -> tuple[float, float]:
    """Return between which values ln r is as claimed."""
    if expects == "better":
        return -math.inf, 0.0
    return (-math.log1p(margin) if expects == "alike" else -math.inf), math.log1p(margin)


def pair_intervals(ratios: np.ndarray) -> list[Interval]:
    """Return the interval of each row of (comparisons, seeds), at 1 - 0.05 / comparisons: all cover at once (Bonferroni)."""
    return [t_interval(row, 1 - (1 - CONFIDENCE) / len(ratios)) for row in ratios]


def judge(ratios: np.ndarray, expects: Expectation, margin: float) -> tuple[Interval, int, Verdict]:
    """Judge a claim by the logarithms of ratios (comparisons, seeds), which share their seeds.

    The interval is that of the mean over comparisons, whose values are the seeds' means: comparisons share shots and
    sources within a seed, and are not independent. A ratio r is as claimed if ln r < 0 ("better"), ln r < ln(1 + margin)
    ("not-worse"), or |ln r| < ln(1 + margin) ("alike"; Schuirmann 1987 tests two sides so).

    The claim holds if all of the interval is as claimed, and so is each comparison's mean. It does not hold if none of the
    interval is, or none of a single comparison's, at a confidence of 1 - 0.05 / comparisons (Bonferroni). Else it is
    undecided, and so always with a single seed.

    Returns
    -------
    The interval of ln r, how many comparisons are as claimed in their means, and the verdict.
    """
    low, high = claimed_range(expects, margin)
    overall, single = t_interval(ratios.mean(axis=0)), pair_intervals(ratios)
    good = sum(low < one.mean < high for one in single)

    def refuted(interval: Interval) -> bool:
        return interval.low >= high or interval.high <= low

    if refuted(overall) or any(map(refuted, single)):
        return overall, good, "does not hold"
    holds = low < overall.low and overall.high < high and good == len(single)
    return overall, good, "holds" if holds and ratios.shape[1] > 1 else "undecided"


def lower_pct(log_ratio: float) -> float:
    """Return by how many percent of the second figure the first is lower: 100 (1 - exp(ln r)); negative if it is higher."""
    return -100 * math.expm1(log_ratio) if log_ratio < 700 else -math.inf
