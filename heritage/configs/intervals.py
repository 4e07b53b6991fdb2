"""Intervals and corrections that the studies share: Wilson, Benjamini-Hochberg, the bootstrap over model trees."""

from dataclasses import dataclass

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

_Z = 1.959963984540054  # 97.5 % point of the normal distribution


def wilson(successes: ArrayLike, trials: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper 95 % limit of each share (Wilson 1927, JASA 22:209); NaN where there are no trials.

    >>> low, high = wilson(5, 10)
    >>> round(float(low), 3), round(float(high), 3)
    (0.237, 0.763)
    """
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        p, z2 = k / n, _Z**2 / n
        middle = (p + z2 / 2) / (1 + z2)
        reach = _Z / (1 + z2) * np.sqrt(p * (1 - p) / n + z2 / (4 * n))
    # rounding may put a limit of a share of 0 or 1 beyond that share
    return np.minimum(np.clip(middle - reach, 0, 1), p), np.maximum(np.clip(middle + reach, 0, 1), p)


def adjusted(p_values: ArrayLike) -> NDArray[np.float64]:
    """p values corrected for their number (Benjamini and Hochberg 1995); NaN stays NaN and is not counted."""
    p = np.asarray(p_values, dtype=np.float64)
    q = np.full(p.shape, np.nan)
    present = np.flatnonzero(~np.isnan(p))
    order = present[np.argsort(p[present])]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


@dataclass(frozen=True, slots=True)
class Span:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def trees(edges: pd.DataFrame) -> NDArray[np.int64]:
    """Number of the model tree (weakly connected component) that each edge of parent_id, child_id belongs to."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_edges_from(zip(edges["parent_id"], edges["child_id"], strict=True))
    place = {node: i for i, part in enumerate(nx.connected_components(graph)) for node in part}
    return np.array([place[p] for p in edges["parent_id"]], dtype=np.int64)


def tree_bootstrap(
    values: NDArray[np.float64], tree: NDArray[np.int64], rng: np.random.Generator, draws: int = 1000
) -> Span:
    """Mean of `values` with a 95 % percentile interval from drawing whole trees.

    Edges of one tree are not independent, so drawing edges would give intervals that are too narrow. The limits are
    NaN where there are fewer than two trees: one tree says nothing about others.
    """
    codes, sums, counts = _per_tree(values, tree)
    if codes < 2:
        return Span(float(sums.sum() / counts.sum()) if codes else float("nan"), float("nan"), float("nan"))
    drawn = rng.multinomial(codes, np.full(codes, 1 / codes), size=draws)
    means = (drawn @ sums) / (drawn @ counts)
    low, high = np.percentile(means, [2.5, 97.5])
    return Span(float(sums.sum() / counts.sum()), float(low), float(high))


def _per_tree(
    values: NDArray[np.float64], tree: NDArray[np.int64]
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    present = ~np.isnan(values)
    names, codes = np.unique(tree[present], return_inverse=True)
    sums = np.bincount(codes, weights=values[present], minlength=len(names))
    return len(names), np.asarray(sums, np.float64), np.bincount(codes, minlength=len(names)).astype(np.float64)


def cliff(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Cliff's delta of two samples: P(a > b) - P(a < b), in [-1, 1]; NaN where either is empty. O(n log n)."""
    if not len(a) or not len(b):
        return float("nan")
    ordered = np.sort(b)
    above = np.searchsorted(ordered, a, side="left").sum()
    below = (len(b) - np.searchsorted(ordered, a, side="right")).sum()
    return float(above - below) / (len(a) * len(b))
