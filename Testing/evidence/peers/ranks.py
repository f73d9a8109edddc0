"""Ranks of methods over settings: Friedman's test, and Nemenyi's critical difference.

What is assumed (Demšar, *Statistical Comparisons of Classifiers over Multiple Data Sets*, JMLR 7, 2006): settings are independent draws,
each with the same weight however many patients it has, and only the order of the methods within a setting counts. Friedman's statistic is
taken for chi-squared, which holds from about ten settings on. With four settings the power of both is small, and the critical difference
grows with the number of methods: 27 methods on four settings must be 21 ranks apart. That two methods are joined then says next to
nothing; the paired intervals over patients of each setting say more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

_LEVEL = 0.05


@dataclass(frozen=True)
class Ranks:
    """means: (k,) mean rank of each method, 1 is best;  p: of Friedman's test;  difference: beyond which two methods differ at 5 %."""

    means: np.ndarray
    p: float
    difference: float

    @classmethod
    def of(cls, scores: np.ndarray) -> Ranks:
        """From (setting, method) scores, higher is better; equal scores share the mean of their ranks. Two settings, three methods or more.

        p is NaN where every setting ranks all methods alike in one tie.
        """
        settings, methods = scores.shape
        if settings < 2 or methods < 3:
            raise ValueError(f"ranks need two settings and three methods, not {settings} and {methods}")
        ranks = stats.rankdata(-scores, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            p = float(stats.friedmanchisquare(*ranks.T).pvalue)
        return cls(ranks.mean(axis=0), p, critical_difference(methods, settings))

    def groups(self) -> list[tuple[float, float]]:
        """(lowest, highest) mean rank of each largest group within which no two methods differ; no group of one."""
        order = np.sort(self.means)
        found: list[tuple[float, float]] = []
        for first in order:
            last = order[order <= first + self.difference][-1]
            if last > first and not (found and found[-1][1] >= last):
                found.append((float(first), float(last)))
        return found


def critical_difference(methods: int, settings: int) -> float:
    """Nemenyi's: mean ranks further apart differ at the level of 5 %, all pairs together."""
    quantile = float(stats.studentized_range.ppf(1 - _LEVEL, methods, math.inf)) / math.sqrt(2)
    return quantile * math.sqrt(methods * (methods + 1) / (6 * settings))
