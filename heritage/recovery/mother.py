"""MoTHer (Horwitz, Shul, Hoshen; arXiv 2405.18432) and its two halves: distance alone, kurtosis alone."""

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.edmonds import minimum_arborescence
from heritage.recovery.family import Family
from heritage.recovery.tree import orient, spanning_tree
from heritage.recovery.trees import Tree, TreeEdge

Matrix = NDArray[np.float64]
LAMBDA = 0.3


def kurtosis(family: Family) -> Matrix:
    """Sum over square matrices of their excess kurtosis, of shape (n,); over all matrices where none is square."""
    slots = [k for k, s in enumerate(family.stack.slots) if s.is_matrix and family.stack.present[k].all()]
    square = [k for k in slots if len(set(family.stack.slots[k].shape)) == 1]
    out = np.zeros(family.count)
    for i in range(family.count):
        for k in square or slots:
            v = family.values(i, k).astype(np.float64)
            v -= v.mean()
            variance = float(np.mean(v * v))
            out[i] += float(np.mean(v**4)) / max(variance * variance, 1e-300) - 3.0
    return out


def mother_tree(family: Family, cost: Matrix, weight: float = LAMBDA) -> Tree:
    """The minimum arborescence of cost + weight * mean(cost) where the child's kurtosis is the larger."""
    if family.count == 1:
        return Tree((), {0: 1.0})
    finite = np.isfinite(cost)
    ku = kurtosis(family)
    directed = cost + weight * cost[finite].mean() * (ku[None, :] > ku[:, None])
    return _tree(minimum_arborescence(directed), family.count)


def distance_tree(family: Family, cost: Matrix) -> Tree:
    """The minimum spanning tree, rooted at the model with most neighbours (then the most central one)."""
    if family.count == 1:
        return Tree((), {0: 1.0})
    tree = spanning_tree(cost, ())
    degree = np.bincount(np.array(list(tree)).reshape(-1), minlength=family.count)
    central = np.where(np.isfinite(cost), cost, 0.0).sum(1)
    return _tree(orient(tree, int(np.lexsort((central, -degree))[0])), family.count)


def kurtosis_tree(family: Family, cost: Matrix) -> Tree:
    """Each model under the nearest of those with a larger kurtosis; the largest is the root."""
    ku = kurtosis(family)
    parents = {}
    for child in range(family.count):
        above = np.flatnonzero(ku > ku[child])
        if len(above):
            parents[child] = int(above[np.argmin(cost[above, child])])
    return _tree(parents, family.count)


def _tree(parents: dict[int, int], count: int) -> Tree:
    edges = tuple(TreeEdge(p, c, "unknown", 0.5, "distance and kurtosis") for c, p in sorted(parents.items()))
    return Tree(edges, {i: 0.5 for i in range(count) if i not in parents})
