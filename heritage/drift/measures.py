"""Distances between two distributions, from counts on the same cells. All functions are pure.

With counts r_k of the reference (total m) and c_k of the window (total n) on K cells that are not empty in both:
e_k = (r_k + 1/2) / (m + K/2), a_k = (c_k + 1/2) / (n + K/2) (Jeffreys smoothing, no arbitrary small constant), then
PSI = sum (a-e) ln(a/e) and KL = sum a ln(a/e), the window against the reference. Without drift the expectation of PSI
is about (K-1)(1/n + 1/m) (arXiv 2307.11878); `psi_debiased` takes that away.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from heritage.drift.parts import Counts, Values

SMOOTHING = 0.5
MIN_EXPECTED = 5.0
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Interval:
    """A quantity that lies in [low, high] for certain."""

    low: float
    high: float


def shares(counts: Counts, smoothing: float = SMOOTHING) -> Values:
    """Share of each cell with `smoothing` added to every count."""
    return np.asarray((counts + smoothing) / (counts.sum() + smoothing * len(counts)))


def psi_of_shares(current: Values, reference: Values) -> float:
    """Population stability index of shares that are all positive; symmetric."""
    return float(np.sum((current - reference) * np.log(current / reference)))


def kl_of_shares(current: Values, reference: Values) -> float:
    """Kullback-Leibler divergence of `current` from `reference` (shares, reference positive), in nats."""
    positive = current > 0
    return float(np.sum(current[positive] * np.log(current[positive] / reference[positive])))


def psi(current: Counts, reference: Counts) -> float:
    """PSI of counts; NaN where either side is empty."""
    if not current.sum() or not reference.sum():
        return NAN
    current, reference = _occupied(current, reference)
    return psi_of_shares(shares(current), shares(reference))


def psi_debiased(current: Counts, reference: Counts) -> float:
    """PSI less what chance alone would give, at least 0, after cells with few rows are put together."""
    if not current.sum() or not reference.sum():
        return NAN
    current, reference = pooled(current, reference)
    chance = (len(current) - 1) * (1 / current.sum() + 1 / reference.sum())
    return max(0.0, psi_of_shares(shares(current), shares(reference)) - float(chance))


def kl(current: Counts, reference: Counts) -> float:
    """KL divergence of the window from the reference, in nats; NaN where either side is empty."""
    if not current.sum() or not reference.sum():
        return NAN
    current, reference = _occupied(current, reference)
    return kl_of_shares(shares(current), shares(reference))


def js(current: Counts, reference: Counts) -> float:
    """Jensen-Shannon distance to base 2 (square root of the divergence), in [0, 1]; NaN where either side is empty."""
    if not current.sum() or not reference.sum():
        return NAN
    current, reference = _occupied(current, reference)
    a, e = shares(current), shares(reference)
    middle = (a + e) / 2
    divergence = (kl_of_shares(a, middle) + kl_of_shares(e, middle)) / 2
    return float(np.sqrt(max(0.0, divergence) / np.log(2)))


def chi_square(current: Counts, reference: Counts, share: float = 1.0) -> float:
    """p-value of the two-sample chi-square test of homogeneity, cells with few expected rows put together.

    `share` is the part of the window's rows that is independent evidence (1: all); the statistic is scaled by it. 1.0
    where one cell is left or either side is empty.
    """
    if not current.sum() or not reference.sum():
        return 1.0
    current, reference = pooled(current, reference)
    if len(current) < 2:
        return 1.0
    n, m = float(current.sum()), float(reference.sum())
    both = current + reference
    statistic = float(np.sum((current * np.sqrt(m / n) - reference * np.sqrt(n / m)) ** 2 / both))
    return float(stats.chi2.sf(statistic * share, len(current) - 1))


def pooled(current: Counts, reference: Counts) -> tuple[Counts, Counts]:
    """Counts with every cell that expects fewer than 5 rows in the smaller sample joined with the next scarce ones.

    Cells are taken from the scarcest on, and joined until the joint cell expects 5 rows; order of cells is lost.
    """
    both = current + reference
    smaller = min(current.sum(), reference.sum())
    expected = both * (smaller / both.sum())
    if (expected >= MIN_EXPECTED).all():
        return current, reference
    order = np.argsort(expected, kind="stable")
    ends = np.cumsum(expected[order])
    scarce = int((expected < MIN_EXPECTED).sum())
    # the joint cell takes all scarce cells, and one more if it is still scarce itself
    joined = scarce if ends[scarce - 1] >= MIN_EXPECTED else min(scarce + 1, len(order))
    first, rest = order[:joined], order[joined:]
    return (
        np.append(current[rest], current[first].sum()),
        np.append(reference[rest], reference[first].sum()),
    )


def ks(current: Counts, reference: Counts) -> Interval:
    """Kolmogorov-Smirnov distance of two samples counted on the 2E+1 cells of E edges.

    Both distribution functions are exact at the edges and just below them, so the largest gap there is a lower bound;
    inside an open cell they can differ by at most the gap between one's start and the other's end. NaN where either
    side is empty.
    """
    n, m = current.sum(), reference.sum()
    if not n or not m:
        return Interval(NAN, NAN)
    f, h = np.cumsum(reference) / m, np.cumsum(current) / n  # after each cell: below the edge, at the edge, ...
    low = float(np.max(np.abs(f - h)))
    before_f, before_h = np.append(0.0, f[1::2]), np.append(0.0, h[1::2])
    inside = np.maximum(f[0::2] - before_h, h[0::2] - before_f)
    occupied = (reference[0::2] > 0) | (current[0::2] > 0)
    high = max(low, float(np.max(inside[occupied], initial=0.0)))
    return Interval(low, min(high, 1.0))


def ks_p(distance: float, n: float, m: float) -> float:
    """p-value of a KS distance between samples of n and m rows (asymptotic, Stephens' correction)."""
    if not n or not m or np.isnan(distance):
        return 1.0
    size = np.sqrt(n * m / (n + m))
    return float(stats.kstwobign.sf((size + 0.12 + 0.11 / size) * distance))


def wasserstein(edges: Values, current: Counts, reference: Counts, scale: float) -> float:
    """First Wasserstein distance over `scale` (the reference's standard deviation, or another unit).

    Exact at edges; inside an open cell rows are taken as evenly spread, and rows beyond the outer edges as lying on
    them (so that one far outlier cannot decide). NaN where either side is empty, there is no edge, or no scale.
    """
    n, m = current.sum(), reference.sum()
    if not n or not m or len(edges) == 0 or not scale > 0:
        return NAN
    gap = np.cumsum(reference) / m - np.cumsum(current) / n
    starts, ends, widths = gap[1:-2:2], gap[2:-1:2], np.diff(edges) / scale
    return float(np.sum(widths * _mean_absolute(starts, ends)))


def _mean_absolute(starts: NDArray[np.float64], ends: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of |y| along straight lines from `starts` to `ends`."""
    same_side = starts * ends >= 0
    total = np.abs(starts) + np.abs(ends)
    crossing = np.divide(starts**2 + ends**2, 2 * total, out=np.zeros_like(total), where=total > 0)
    return np.where(same_side, total / 2, crossing)


def equal_mass_cells(reference: Counts, cells: int = 10) -> NDArray[np.int64]:
    """For each of the 2E+1 fine cells, which of about `cells` coarse cells of equal reference mass it is in.

    An edge value that carries half a coarse cell's mass or more is a coarse cell of its own.
    """
    total = int(reference.sum())
    if total == 0:
        return np.zeros(len(reference), np.int64)
    middle = (np.cumsum(reference) - reference / 2) / total
    by_mass = np.minimum((middle * cells).astype(np.int64), cells - 1)
    heavy = np.zeros(len(reference), bool)
    heavy[1::2] = reference[1::2] * 2 * cells >= total
    own = heavy | np.append(False, heavy[:-1])
    changed = np.append(False, (np.diff(by_mass) > 0)) | own
    return np.cumsum(changed)


def coarse(counts: Counts, groups: NDArray[np.int64]) -> Counts:
    """Counts summed over the groups that `equal_mass_cells` gave."""
    return np.bincount(groups, weights=counts, minlength=int(groups.max()) + 1).astype(np.int64)


def _occupied(current: Counts, reference: Counts) -> tuple[Counts, Counts]:
    kept = (current + reference) > 0
    return current[kept], reference[kept]
