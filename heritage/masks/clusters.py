"""Clusters of features by their zero patterns, measured as published and measured honestly.

The published separation ratio counts a cluster of one feature as perfectly tight (within 0.0) and gives every cluster
the same weight; structureless masks with a few odd columns then reach ratios of 3 and more. Here the mean within is
taken over pairs, clusters of one are left out of it, and the ratio is set against masks without structure that keep
the row and column sums.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput

_PAIRS = 50  # pairs drawn for the published mean between two clusters


@dataclass(frozen=True, eq=False)
class Clustering:
    """`labels` (n,), `centers` (k, D) and the k-means inertia (sum of squared distances to centres)."""

    labels: NDArray[np.int64]
    centers: NDArray[np.float64]
    inertia: float


def kmeans(points: NDArray[np.generic], k: int, seed: int) -> Clustering:
    """k-means of `points` (n, D), best of ten starts. On 0/1 points its inertia is sum_c (1/n_c) sum_{i<j} Hamming_ij.

    Raises `BadInput` for k beyond the points; fewer distinct points than k leave clusters empty.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if not 1 <= k <= len(points):
        raise BadInput(f"{k} clusters of {len(points)} features; choose k from 1 to {len(points)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct points than clusters; sizes show it
        fit = KMeans(n_clusters=k, random_state=seed, n_init=10).fit(np.asarray(points))
    return Clustering(fit.labels_.astype(np.int64), np.asarray(fit.cluster_centers_, np.float64), float(fit.inertia_))


def average_linkage(hamming: NDArray[np.generic], k: int) -> NDArray[np.int64]:
    """Labels 0..k-1 of average-linkage clusters on a Hamming matrix; finds planted groups that k-means misses."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if not 1 <= k <= len(hamming):
        raise BadInput(f"{k} clusters of {len(hamming)} features; choose k from 1 to {len(hamming)}")
    tree = linkage(squareform(np.asarray(hamming, np.float64), checks=False), "average")
    return np.asarray(fcluster(tree, k, "maxclust"), np.int64) - 1


@dataclass(frozen=True, slots=True)
class Published:
    """The published numbers of one clustering, Euclidean: means within and between, their ratio, inertia, sizes."""

    mean_within_cluster: float
    mean_between_cluster: float
    separation_ratio: float
    total_inertia: float
    cluster_sizes: list[int]
    cluster_balance_std: float


def published(points: NDArray[np.generic], found: Clustering) -> Published:
    """Within: mean Euclidean distance to the own centre; between: mean over pairs of centres; ratio between/within."""
    from scipy.spatial.distance import pdist

    present, sizes = np.unique(found.labels, return_counts=True)
    away = np.asarray(points, np.float64) - found.centers[found.labels]
    within = float(np.linalg.norm(away, axis=1).mean())
    between = float(pdist(found.centers[present]).mean()) if len(present) > 1 else 0.0
    ratio = between / within if within > 0 else 0.0
    return Published(within, between, ratio, found.inertia, sizes.tolist(), float(np.std(sizes)))


@dataclass(frozen=True, eq=False)
class PublishedHamming:
    """The published multi-seed numbers: normalised Hamming within each cluster and between each pair."""

    within: list[float]
    between: NDArray[np.float64]
    mean_within: float
    mean_between: float

    @property
    def separation_ratio(self) -> float:
        """Between over within, 0 where within is 0."""
        return self.mean_between / self.mean_within if self.mean_within > 0 else 0.0


def published_hamming(
    hamming: NDArray[np.floating], labels: NDArray[np.int64], k: int, rng: np.random.Generator
) -> PublishedHamming:
    """Mean pairwise distance in each cluster, 0.0 for clusters of one; unweighted mean over clusters; between two
    clusters the mean of at most 50 drawn pairs. `hamming` is normalised to [0, 1]; draws come from `rng`.
    """
    members = [np.flatnonzero(labels == c) for c in range(k)]
    within = [float(hamming[np.ix_(m, m)][np.triu_indices(len(m), 1)].mean()) if len(m) > 1 else 0.0 for m in members]
    between = np.zeros((k, k))
    for a in range(k):
        for b in range(a + 1, k):
            between[a, b] = between[b, a] = _drawn(hamming, members[a], members[b], rng)
    pairs = between[np.triu_indices(k, 1)]
    return PublishedHamming(within, between, float(np.mean(within)), float(pairs.mean()) if len(pairs) else 0.0)


def _drawn(
    hamming: NDArray[np.floating], a: NDArray[np.int64], b: NDArray[np.int64], rng: np.random.Generator
) -> float:
    n = min(_PAIRS, len(a) * len(b))
    return float(hamming[rng.choice(a, n), rng.choice(b, n)].mean()) if n else 0.0


@dataclass(frozen=True, slots=True)
class Corrected:
    """Honest numbers: pair-weighted means in Hamming counts, singletons told and left out, silhouette in [-1, 1].

    `null_ratio` and `null_p` compare the ratio with masks of the same row and column sums; NaN where not drawn.
    """

    mean_within: float
    mean_between: float
    separation_ratio: float
    silhouette: float
    n_singletons: int
    sizes: list[int]
    null_ratio: float = float("nan")
    null_p: float = float("nan")


def corrected(hamming: NDArray[np.generic], labels: NDArray[np.int64], null: Sequence[float] = ()) -> Corrected:
    """Numbers of a clustering over all pairs; `null` are ratios of the same procedure on masks without structure."""
    from sklearn.metrics import silhouette_score

    h = np.asarray(hamming, dtype=np.float64)
    upper = np.triu_indices(len(h), 1)
    same = (labels[:, None] == labels[None, :])[upper]
    within = float(h[upper][same].mean()) if same.any() else float("nan")
    between = float(h[upper][~same].mean()) if (~same).any() else float("nan")
    ratio = between / within if same.any() and within > 0 else float("nan")
    sizes = np.unique(labels, return_counts=True)[1]
    judged = 2 <= len(sizes) < len(labels)
    width = float(silhouette_score(h, labels, metric="precomputed")) if judged else float("nan")
    drawn = np.asarray([r for r in null if np.isfinite(r)])
    # the observed ratio counts as one draw, so p is never 0 (Phipson and Smyth 2010)
    p = float((1 + (drawn >= ratio).sum()) / (1 + len(drawn))) if len(drawn) and np.isfinite(ratio) else float("nan")
    middle = float(drawn.mean()) if len(drawn) else float("nan")
    return Corrected(within, between, ratio, width, int((sizes == 1).sum()), sizes.tolist(), middle, p)


def shuffled(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """A mask with the row and column sums of `mask` and no other structure (curveball, Strona et al. 2014).

    Five trades a column: two random columns exchange at random what only one of them has.
    """
    columns = np.ascontiguousarray(mask.T)
    n = len(columns)
    for _ in range(5 * n):
        a, b = rng.choice(n, 2, replace=False)
        differ = np.flatnonzero(columns[a] != columns[b])
        own = int(columns[a, differ].sum())
        given = rng.permutation(differ)
        columns[a, differ], columns[b, differ] = False, False
        columns[a, given[:own]] = True
        columns[b, given[own:]] = True
    return np.ascontiguousarray(columns.T)
