"""How counts on a profile's cells are shown: the range that is drawn, shares in equal bins, levels by weight."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.drift.parts import Counts, Part, Values

MAX_BARS = 16
BINS = 40


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """Shares of reference and current rows (sum at most 1, the rest lies outside the range that is drawn).

    Either between `edges` (one more than shares), or of the levels that `labels` name.
    """

    reference: NDArray[np.float64]
    current: NDArray[np.float64]
    edges: Values | None = None
    labels: tuple[str, ...] = ()


def distribution(part: Part, counts: Counts) -> Distribution:
    """Both sides of one part, in at most 40 bins, 40 values or 16 levels."""
    if part.edges is None or len(part.edges) == 0:
        f, h = (total / max(total.sum(), 1) for total in (part.reference, counts))
        kept = heaviest(part, f, h)
        return Distribution(f[kept], h[kept], labels=tuple(part.labels[i] if part.labels else "value" for i in kept))
    grid = _grid(part.edges, part.reference, counts)
    f, h = (np.diff(cumulative(part.edges, total, grid)) for total in (part.reference, counts))
    return Distribution(f, h, edges=grid)


def _grid(edges: Values, reference: Counts, counts: Counts) -> Values:
    """Bins of equal width; around each value of a discrete column instead, with one for rows beyond either end."""
    if len(edges) > BINS or reference[0::2].any():
        return np.linspace(*visible_range(edges, reference, counts), BINS + 1)
    near, far = room(edges)
    ends = [edges[0] - far, edges[0] - near], [edges[-1] + near, edges[-1] + far]
    return np.concatenate([ends[0], (edges[1:] + edges[:-1]) / 2, ends[1]])


def heaviest(part: Part, f: NDArray[np.float64], h: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indexes of the levels with the largest share on either side, in the reference's order; all of a season's."""
    worth = np.maximum(f, h)
    kept = np.sort(np.argsort(-worth, kind="stable")[:MAX_BARS])
    found: NDArray[np.int64] = kept[worth[kept] > 0] if part.period_s == 0 else np.arange(len(f))
    return found


def room(edges: Values) -> tuple[float, float]:
    """Where rows beyond the outer edges are drawn: from (first) to (second) beyond; discrete columns leave a gap."""
    span = float(edges[-1] - edges[0])
    if len(edges) > BINS:
        return 0.0, 0.02 * span
    step = span / (len(edges) - 1) if len(edges) > 1 else max(abs(float(edges[0])), 1.0) * 0.05
    return 0.5 * step, step


def visible_range(edges: Values, reference: Counts, counts: Counts) -> tuple[float, float]:
    """From the 0.5 % to the 99.5 % quantile of both, so that one outlier does not squeeze the picture."""
    _, beyond = room(edges)
    starts = np.concatenate([[edges[0] - beyond], np.repeat(edges, 2)])
    ends = np.concatenate([np.repeat(edges, 2), [edges[-1] + beyond]])
    at: list[float] = []
    for total in (reference, counts):
        if total.sum():
            first, last = np.searchsorted(np.cumsum(total) / total.sum(), (0.005, 0.995))
            at += [float(starts[first]), float(ends[min(last, len(ends) - 1)])]
    low, high = (min(at), max(at)) if at else (float(edges[0]), float(edges[-1]))
    margin = 0.03 * (high - low) or beyond
    if len(edges) <= BINS:
        margin = max(margin, 0.7 * beyond)  # a bar's width
    return low - margin, high + margin


def cumulative(edges: Values, counts: Counts, grid: Values) -> NDArray[np.float64]:
    """Share of values at or below each grid point: exact at edges, straight lines inside cells."""
    x, y = steps(edges, counts)
    after = np.searchsorted(x, grid, side="right")
    before = np.clip(after - 1, 0, len(x) - 1)
    following = np.clip(after, 0, len(x) - 1)
    width = x[following] - x[before]
    part = np.divide(grid - x[before], width, out=np.zeros_like(grid), where=width > 0)
    y_at = y[before] + np.clip(part, 0, 1) * (y[following] - y[before])
    return np.where(after == 0, 0.0, y_at)


def steps(edges: Values, counts: Counts) -> tuple[Values, Values]:
    """Points of the distribution function: just below and at each edge, and where rows beyond the ends are drawn."""
    shares = np.cumsum(counts) / max(int(counts.sum()), 1)
    near, far = room(edges)
    x = np.concatenate([[edges[0] - far, edges[0] - near], np.repeat(edges, 2), [edges[-1] + near, edges[-1] + far]])
    return x, np.concatenate([[0.0, shares[0]], shares[:-1], [shares[-2], shares[-1]]])
