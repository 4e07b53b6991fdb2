"""Golden-section search on an interval that is known to be cheap to bound and dear to evaluate (Kiefer 1953)."""

import math
from collections.abc import Callable
from typing import NamedTuple

_RATIO = (math.sqrt(5.0) - 1.0) / 2.0


class Line(NamedTuple):
    """The best point of a line and every (x, f(x)) that was looked at, in order of x."""

    x: float
    value: float
    points: tuple[tuple[float, float], ...]


def golden_section(
    function: Callable[[float], float], at_zero: float, evaluations: int, enough: Callable[[], bool] = lambda: False
) -> Line:
    """The best of at most `evaluations` looks at `function` on (0, 1], and of `at_zero` = f(0).

    The end 1 is looked at first; then the bracket shrinks by .618 a look, so that 12 looks leave .008 of it where
    `function` has one valley. Where it has more, the best look still counts. `enough` stops early. NaN counts as
    infinitely bad.
    """
    seen: dict[float, float] = {0.0: at_zero}

    def look(x: float) -> float:
        if x not in seen:
            value = function(x)
            seen[x] = value if math.isfinite(value) else math.inf
        return seen[x]

    if evaluations > 0 and not enough():
        look(1.0)
    low, high = 0.0, 1.0
    left, right = 1.0 - _RATIO, _RATIO
    while len(seen) <= evaluations and not enough():
        if left not in seen:
            look(left)
        elif right not in seen:
            look(right)
        elif seen[left] <= seen[right]:
            high, right, left = right, left, right - _RATIO * (right - low)
        else:
            low, left, right = left, right, left + _RATIO * (high - left)
        if high - low < 1e-6:
            break
    best = min(seen, key=lambda x: (seen[x], x))
    return Line(best, seen[best], tuple(sorted(seen.items())))
