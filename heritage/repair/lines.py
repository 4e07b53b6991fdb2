"""Coefficients on the lines and inside the convex hull between a drifted model and its donors.

Weights lie in the simplex: the drifted model keeps 1 - sum of the donors' coefficients. Unconstrained coefficients
lost up to 49 points in our measurements, so they are not offered.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from heritage.repair.evaluate import Judge
from heritage.repair.golden import Line, golden_section
from heritage.repair.tensors import State
from heritage.repair.vector import Vector, apply

HULL_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Looks:
    """Looks at each line: from the drifted model, and in the further rounds of the hull search."""

    line: int
    hull: int


FINE = Looks(12, 10)
# enough to tell rungs apart: leaves .06 and .09 of a line
COARSE = Looks(8, 7)
# a round of the hull search that gains less than this (nats) is the last
HULL_GAIN = 1e-4


@dataclass(frozen=True, slots=True)
class Curve:
    """Validation NLL along the line from a point to one donor: (coefficient, nats) in order of coefficient.

    `start` are the coefficients of the point where the line begins (empty: the drifted model).
    """

    donor: str
    start: Mapping[str, float]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients per donor with their validation NLL, and the curves that were walked to find them."""

    coefficients: Mapping[str, float]
    nll: float
    curves: tuple[Curve, ...] = ()


@dataclass(frozen=True)
class Family:
    """A drifted model and the repair vectors to its donors."""

    drifted: State
    vectors: Mapping[str, Vector]

    def at(self, coefficients: Mapping[str, float]) -> dict[str, Tensor]:
        """The model at `coefficients`, bit for bit whatever their order."""
        names = sorted(coefficients)  # sums in another order have other last bits
        return apply(self.drifted, [self.vectors[d] for d in names], [coefficients[d] for d in names])


def best_rollback(family: Family, judge: Judge) -> Fit:
    """The donor that is best as it is (coefficient 1)."""
    looked = {d: judge.nll(family.at({d: 1.0})) for d in family.vectors if not judge.budget.spent}
    if not looked:
        return Fit({}, float("inf"))
    best = min(looked, key=lambda d: looked[d])
    return Fit({best: 1.0}, looked[best], tuple(Curve(d, {}, ((1.0, v),)) for d, v in looked.items()))


def best_line(family: Family, judge: Judge, at_zero: float, looks: Looks = FINE) -> Fit:
    """The best point on any line from the drifted model to one donor; `at_zero` is the NLL of the drifted model."""
    walked = {d: _walk(family, judge, {}, d, at_zero, looks.line) for d in family.vectors}
    return _best({}, at_zero, walked)


def best_in_hull(family: Family, judge: Judge, first: Fit, looks: Looks = FINE, rounds: int = HULL_ROUNDS) -> Fit:
    """Frank-Wolfe with exact line search (Jaggi 2013): from the best point so far along the line to each donor.

    `first` is the first round, `best_line`; at most `rounds` in all. Coefficients stay at or above 0 with a sum of at
    most 1.
    """
    fit = first
    for _ in range(rounds - 1):
        if judge.budget.spent or not fit.coefficients:
            break
        walked = {d: _walk(family, judge, fit.coefficients, d, fit.nll, looks.hull) for d in family.vectors}
        better = _best(fit.coefficients, fit.nll, walked)
        gain = fit.nll - better.nll
        fit = Fit(better.coefficients, better.nll, fit.curves + better.curves)
        if gain < HULL_GAIN:
            break
    return fit


def toward(coefficients: Mapping[str, float], donor: str, share: float) -> dict[str, float]:
    """The coefficients a `share` of the way from `coefficients` to `donor` alone."""
    moved = {d: (1.0 - share) * a for d, a in coefficients.items()}
    moved[donor] = moved.get(donor, 0.0) + share
    return {d: a for d, a in moved.items() if a != 0.0}


def _walk(
    family: Family, judge: Judge, start: Mapping[str, float], donor: str, at_zero: float, looks: int
) -> tuple[Curve, Line]:
    def nll(share: float) -> float:
        return judge.nll(family.at(toward(start, donor, share)))

    line = golden_section(nll, at_zero, looks, lambda: judge.budget.spent)
    return Curve(donor, dict(start), line.points), line


def _best(start: Mapping[str, float], nll: float, walked: Mapping[str, tuple[Curve, Line]]) -> Fit:
    curves = tuple(curve for curve, _ in walked.values())
    if not walked:
        return Fit(start, nll)
    donor = min(walked, key=lambda d: walked[d][1].value)
    line = walked[donor][1]
    return Fit(toward(start, donor, line.x) if line.x else dict(start), line.value, curves)
