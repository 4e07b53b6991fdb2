"""Families: models of one architecture whose weights are alike beyond chance."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.recovery.sample import Sample
from heritage.recovery.stack import Comparable

Z_SCORE = 12.0
_BLOCK = 128


@dataclass(frozen=True, slots=True, eq=False)
class Similarity:
    """`cosine[i, j]` of centred weights, and its standard deviation between unrelated models (the null)."""

    cosine: NDArray[np.float64]
    null_std: NDArray[np.float64]

    @property
    def z(self) -> NDArray[np.float64]:
        """The similarity in standard deviations of the null."""
        return self.cosine / self.null_std


def similarity(stack: Comparable, sample: Sample) -> Similarity:
    """Cosine similarity over matrices, each centred and of equal weight a value.

    Unrelated weights have independent signs, so the mean of n products has standard deviation 1 / sqrt(n).
    """
    count = np.zeros((len(stack.models),) * 2)
    total = np.zeros_like(count)
    for k, slot in enumerate(stack.slots):
        if not slot.is_matrix:
            continue
        v = np.nan_to_num(sample.values[:, sample.columns(k)].astype(np.float64), posinf=0.0, neginf=0.0)
        v -= v.mean(1, keepdims=True)
        v /= np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-30)
        both = np.outer(stack.present[k], stack.present[k]) * v.shape[1]
        total += (v @ v.T) * both
        count += both
    return Similarity(total / np.maximum(count, 1), 1 / np.sqrt(np.maximum(count, 1)))


def likely_related(stack: Comparable, sample: Sample, z_score: float = Z_SCORE) -> NDArray[np.int64]:
    """Labels like those of `by_threshold`, without keeping all pairs: for thousands of models.

    Models are compared block by block in the matrices that all of them have. Cost: n^2 products, memory of
    n rows and of the pairs of one block.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    parts = [
        sample.values[:, sample.columns(k)]
        for k, slot in enumerate(stack.slots)
        if slot.is_matrix and stack.present[k].all()
    ]
    if not parts:
        return np.zeros(len(stack.models), np.int64)
    unit = []
    for part in parts:
        v = part - part.mean(1, keepdims=True)
        unit.append(v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-30) * np.sqrt(v.shape[1]))
    rows = np.concatenate(unit, axis=1)
    rows /= np.sqrt(rows.shape[1])
    least, n = z_score / np.sqrt(rows.shape[1]), len(rows)
    labels = np.arange(n)
    for start in range(0, n, _BLOCK):
        i, j = np.nonzero(rows[start : start + _BLOCK] @ rows.T > least)
        # what is joined already goes along as one edge a model, so that pairs of one block are kept at a time
        ends = np.concatenate([i + start, np.arange(n)]), np.concatenate([j, labels])
        graph = coo_matrix((np.ones(len(ends[0]), np.int8), ends), (n, n))
        labels = np.asarray(connected_components(graph, directed=False)[1], np.int64)
        first = np.unique(labels, return_index=True)[1]
        labels = first[labels]
    return np.unique(labels, return_inverse=True)[1]


def by_threshold(similar: Similarity, z_score: float = Z_SCORE) -> NDArray[np.int64]:
    """Labels of the connected components of 'similarity above `z_score`'."""
    from scipy.sparse.csgraph import connected_components

    return np.asarray(connected_components(similar.z > z_score, directed=False)[1], np.int64)


def by_dbscan(similar: Similarity, z_score: float = Z_SCORE) -> NDArray[np.int64]:
    """Labels by density (DBSCAN) at the distance that `z_score` stands for; models in no dense place are alone."""
    from sklearn.cluster import DBSCAN

    distance = np.clip(1.0 - similar.cosine, 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)  # weights of zeros have no cosine, not even with themselves
    radius = 1.0 - z_score * float(np.median(similar.null_std))
    labels = DBSCAN(eps=max(radius, 1e-6), min_samples=1, metric="precomputed").fit(distance).labels_
    return np.asarray(labels, np.int64)


def by_kmeans(similar: Similarity, z_score: float = Z_SCORE) -> NDArray[np.int64]:
    """Labels by k-means on the leading eigenvectors of the similarity, with the k whose silhouette is best."""
    from sklearn.cluster import KMeans

    n = len(similar.cosine)
    alike = similar.z[~np.eye(n, dtype=bool)] >= z_score
    if n < 3 or alike.all() or not alike.any():  # no k to choose: one family, or nobody is like another
        return np.zeros(n, np.int64) if n < 2 or similar.z.min() >= z_score else by_threshold(similar, z_score)
    value, vector = np.linalg.eigh(similar.cosine)
    tries = []
    for k in range(2, min(n, 12)):
        points = vector[:, -k:] * np.sqrt(np.maximum(value[-k:], 0))
        labels = KMeans(k, n_init=4, random_state=0).fit_predict(points)
        tries.append((silhouette(similar, labels), -k, labels))
    return np.asarray(max(tries, key=lambda t: t[:2])[2], np.int64)


def automatic(similar: Similarity, z_score: float = Z_SCORE) -> NDArray[np.int64]:
    """The threshold's labels, or DBSCAN's where those make better separated families of three or more models."""
    first = by_threshold(similar, z_score)
    if len(first) < 3:
        return first
    second = by_dbscan(similar, z_score)
    return second if silhouette(similar, second) > silhouette(similar, first) + 0.05 else first


def silhouette(similar: Similarity, labels: NDArray[np.int64]) -> float:
    """Mean silhouette in cosine distance, in [-1, 1]; 0 for one family or families of one only."""
    from sklearn.metrics import silhouette_score

    if not 1 < len(np.unique(labels)) < len(labels):
        return 0.0
    distance = np.clip(1.0 - similar.cosine, 0.0, 2.0)
    np.fill_diagonal(distance, 0.0)
    return float(silhouette_score((distance + distance.T) / 2, labels, metric="precomputed"))


FamilyMethod = Callable[[Similarity, float], NDArray[np.int64]]
FAMILY_METHODS: dict[str, FamilyMethod] = {}


def register_family_method(name: str, method: FamilyMethod) -> None:
    """Make `method` known as `name`: a function of a `Similarity` and a z-score that gives labels (n,).

    Raises `BadInput` where the name is taken.
    """
    if name in FAMILY_METHODS:
        raise BadInput(f"family method '{name}' exists already; choose another name")
    FAMILY_METHODS[name] = method


for _name, _method in {"threshold": by_threshold, "dbscan": by_dbscan, "kmeans": by_kmeans, "auto": automatic}.items():
    register_family_method(_name, _method)
