"""Exact one-sided McNemar test and what it can show with so many rows.

n01 rows are fixed by the candidate, n10 broken; under no difference each of the n01 + n10 is a fair coin:
p = P[Bin(n01 + n10, 1/2) >= n01] (McNemar 1947, exact form).
"""

import math

from scipy.stats import binom

_POWER = 0.8


def mcnemar(fixed: int, broken: int) -> float:
    """One-sided exact p-value that the candidate is no better; 1 where the two never differ."""
    return float(binom.sf(fixed - 1, fixed + broken, 0.5)) if fixed + broken else 1.0


def detectable_gain(rows: int, churn: int, alpha: float) -> float:
    """The smallest gain in accuracy that the test shows with power .8 at level `alpha` on `rows` rows.

    `churn`: rows on which the two differ without any gain, as many fixed as broken; twice the smaller of the two
    counts estimates it. 1.0 where even a candidate that only fixes could not pass.
    """
    share = (churn + 1) / (rows + 2)
    low, high = 0.0, 1.0
    if not _shows(high, rows, share, alpha):
        return 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _shows(middle, rows, share, alpha) else (middle, high)
    return high


def _shows(gain: float, rows: int, churn_share: float, alpha: float) -> bool:
    """Whether a true `gain` on top of the churn passes with power .8."""
    share = min(1.0, churn_share + gain)
    pairs = max(1, round(rows * share))
    least = int(binom.isf(alpha, pairs, 0.5)) + 1  # fixed rows needed: P[Bin >= least] <= alpha
    fixed = min(1.0, (churn_share / 2 + gain) / (churn_share + gain))
    return least <= pairs and bool(binom.sf(least - 1, pairs, fixed) >= _POWER)


def rows_needed(gain: float, rows: int, churn: int, alpha: float, most: int = 1_000_000) -> int:
    """Rows on which a true `gain` (> 0) would be shown with power .8; `most` where that many do not suffice."""
    share = (churn + 1) / (rows + 2)
    needed = max(rows, 8)
    while needed < most and not _shows(gain, needed, share, alpha):
        needed = math.ceil(needed * 1.1)
    return min(needed, most)
