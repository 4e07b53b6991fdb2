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


def detectable_gain(rows: int, discordant: int, alpha: float) -> float:
    """The smallest gain in accuracy that the test shows with power .8 at level `alpha` on `rows` rows.

    The share of rows on which the two differ is taken from the data, (discordant + 1) / (rows + 2). 1.0 where even a
    candidate that only fixes could not pass.
    """
    share = (discordant + 1) / (rows + 2)
    pairs = max(1, round(rows * share))
    least = int(binom.isf(alpha, pairs, 0.5)) + 1  # fixed rows needed: P[Bin >= least] <= alpha
    if least > pairs:
        return 1.0
    low, high = 0.5, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if binom.sf(least - 1, pairs, middle) >= _POWER else (middle, high)
    return float(share * (2 * high - 1))


def rows_needed(gain: float, rows: int, discordant: int, alpha: float, most: int = 1_000_000) -> int:
    """Rows on which a true `gain` (> 0) would be shown with power .8; `most` where that many do not suffice."""
    share = max((discordant + 1) / (rows + 2), gain)
    needed = max(rows, 8)
    while needed < most and detectable_gain(needed, round(needed * share), alpha) > gain:
        needed = math.ceil(needed * 1.1)
    return min(needed, most)
