"""Distances between the models of a family, by name: what a tree edge costs under each metric."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.recovery.cost import edge_costs
from heritage.recovery.family import Family
from heritage.recovery.precision import rounding_variance

Matrix = NDArray[np.float64]
Metric = Callable[[Family], Matrix]
METRICS: dict[str, Metric] = {}


def register_metric(name: str, metric: Metric) -> None:
    """Make `metric` known as `name`: a function of a `Family` that gives costs (n, n), infinite on the diagonal.

    Raises `BadInput` where the name is taken.
    """
    if name in METRICS:
        raise BadInput(f"metric '{name}' exists already; choose another name")
    METRICS[name] = metric


def _no_loops(cost: Matrix) -> Matrix:
    np.fill_diagonal(cost, np.inf)
    return cost


def l2(family: Family) -> Matrix:
    """Squared L2 distance over the slots that both models have."""
    return _no_loops(np.nansum(family.distances.squared, axis=0))


def cosine(family: Family) -> Matrix:
    """One minus the cosine similarity over the slots that both models have."""
    d = family.distances
    both = np.isfinite(d.squared)
    own = np.where(both, d.norms[:, :, None], 0.0).sum(0)
    other = np.where(both, d.norms[:, None, :], 0.0).sum(0)
    inner = (own + other - np.nansum(d.squared, axis=0)) / 2
    return _no_loops(1.0 - inner / np.sqrt(np.maximum(own * other, 1e-300)))


def rank(family: Family) -> Matrix:
    """Sum over matrices of the rank of the difference, with rounding cut off; ties are broken by the L2 distance.

    n^2 singular value decompositions of every matrix: for families of adapters, not for fleets.
    """
    cost = np.zeros((family.count, family.count))
    for k, slot in enumerate(family.stack.slots):
        if not slot.is_matrix or family.heads[k]:
            continue
        here = np.flatnonzero(family.stack.present[k, np.asarray(family.members)])
        values = {int(i): family.values(int(i), k).reshape(slot.shape[0], -1) for i in here}
        for i in values:
            for j in values:
                if i < j:
                    cost[i, j] += numerical_rank(values[i], values[j], family.dtypes[i], family.dtypes[j])
    distance = l2(family)
    finite = distance[np.isfinite(distance)]
    cost = cost + cost.T + 0.5 * distance / max(finite.max(initial=0.0), 1e-300)
    return _no_loops(cost)


def numerical_rank(a: NDArray[np.float32], b: NDArray[np.float32], dtype_a: str, dtype_b: str) -> int:
    """Rank of b - a without what rounding to the two types leaves.

    Rounding errors of variance v in an m x n matrix have singular values up to sqrt(v) (sqrt(m) + sqrt(n)).
    """
    difference = b.astype(np.float64) - a
    noise = float(np.mean((rounding_variance(a, dtype_a) + rounding_variance(b, dtype_b)) / 2))
    edge = np.sqrt(noise) * (np.sqrt(difference.shape[0]) + np.sqrt(difference.shape[1]))
    return int(np.sum(np.linalg.svd(difference, compute_uv=False) > 1.5 * edge + 1e-300))


for _name, _metric in {"auto": edge_costs, "l2": l2, "cosine": cosine, "rank": rank}.items():
    register_metric(_name, _metric)
