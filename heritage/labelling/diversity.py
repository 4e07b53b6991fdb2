"""Selections that spread over the pool: k-means++ seeding, BADGE, greedy k-center.

Distances are updated with each new centre, so each selection costs O(n k d) time and O(n) memory beside the features.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from heritage.labelling.pool import Floats, Index

# squared distances of all rows to row i
FromRow = Callable[[int], NDArray[np.float64]]


def squared_distances(features: Floats) -> FromRow:
    """Euclidean squared distances within `features` (n, d)."""
    x = features.astype(np.float64)
    lengths = np.einsum("ij,ij->i", x, x)
    return lambda i: np.maximum(lengths + lengths[i] - 2.0 * (x @ x[i]), 0.0)


def kmeans_plus_plus(from_row: FromRow, rows: int, count: int, random: np.random.Generator, first: int) -> Index:
    """`count` distinct rows; after `first`, each is drawn with probability proportional to its squared distance from
    those drawn before (Arthur and Vassilvitskii 2007). Where all distances are 0 the rest is drawn evenly."""
    chosen = [first]
    near = from_row(first)
    while len(chosen) < min(count, rows):
        near[chosen] = 0.0
        total = near.sum()
        if total > 0.0:
            picked = int(random.choice(rows, p=near / total))
        else:
            picked = int(random.choice(np.setdiff1d(np.arange(rows), chosen)))
        chosen.append(picked)
        near = np.minimum(near, from_row(picked))
    return np.array(chosen[:count], dtype=np.int64)


def badge_distances(probabilities: Floats, features: Floats) -> FromRow:
    """Squared distances between the gradients of the last layer at each row's likeliest class (arXiv 1906.03671).

    The gradient is the outer product of (p - one-hot) and the features, so inner products factor and the (n, c d)
    matrix is never made.
    """
    p, h = probabilities.astype(np.float64).copy(), features.astype(np.float64)
    p[np.arange(len(p)), p.argmax(axis=1)] -= 1.0
    lengths = np.einsum("ij,ij->i", p, p) * np.einsum("ij,ij->i", h, h)
    return lambda i: np.maximum(lengths + lengths[i] - 2.0 * (p @ p[i]) * (h @ h[i]), 0.0)


def badge(probabilities: Floats, features: Floats, count: int, random: np.random.Generator) -> Index:
    """BADGE: k-means++ over gradient embeddings, beginning with the longest gradient."""
    p = probabilities.astype(np.float64).copy()
    p[np.arange(len(p)), p.argmax(axis=1)] -= 1.0
    lengths = np.linalg.norm(p, axis=1) * np.linalg.norm(features.astype(np.float64), axis=1)
    from_row = badge_distances(probabilities, features)
    return kmeans_plus_plus(from_row, len(p), count, random, int(lengths.argmax()))


def k_center(features: Floats, count: int, labelled: Floats | None, random: np.random.Generator) -> Index:
    """Greedy 2-approximation of the k-center cover (core-set, arXiv 1708.00489): always the row farthest from all
    chosen and labelled ones. Without labelled rows the first is drawn by `random`."""
    from_row = squared_distances(features)
    near = np.full(len(features), np.inf)
    for row in [] if labelled is None else labelled.astype(np.float64):
        near = np.minimum(near, ((features - row) ** 2).sum(axis=1))
    chosen: list[int] = []
    while len(chosen) < min(count, len(features)):
        picked = int(near.argmax()) if np.isfinite(near).all() else int(random.integers(len(features)))
        chosen.append(picked)
        near = np.minimum(near, from_row(picked))
        near[chosen] = -1.0
    return np.array(chosen, dtype=np.int64)
