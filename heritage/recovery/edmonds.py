"""Minimum spanning arborescence of a dense directed graph (Chu and Liu 1965, Edmonds 1967)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def minimum_arborescence(cost: Matrix) -> dict[int, int]:
    """Parent of every node but the root, of least total cost; `cost[i, j]` is that of the edge i -> j.

    The root is chosen so that the total is least. Infinite costs are no edges. O(n^3) in the worst case, with memory
    of three matrices.
    """
    n = len(cost)
    finite = cost[np.isfinite(cost)]
    heavy = 2.0 * (np.abs(finite).sum() + 1.0)  # dearer than any tree, so the new source keeps one child
    with_source = np.full((n + 1, n + 1), np.inf)
    with_source[1:, 1:] = cost
    with_source[0, 1:] = heavy
    np.fill_diagonal(with_source, np.inf)
    parent = _rooted(with_source)
    return {c - 1: parent[c] - 1 for c in range(1, n + 1) if parent[c] != 0}


@dataclass(frozen=True, slots=True, eq=False)
class _Contraction:
    """A circle made one node, the last: `parents` before, nodes of the `circle`, all others in `rest` (the first is
    the source); through which of the circle each of `rest` is entered at least cost, and left for."""

    parents: list[int]
    circle: list[int]
    rest: list[int]
    entered: list[int]
    left: list[int]


def _rooted(cost: Matrix) -> list[int]:
    """Parents in the least arborescence from node 0 (whose own entry is -1)."""
    done: list[_Contraction] = []
    while circle := _circle(parents := [-1, *cost[:, 1:].argmin(0).tolist()]):
        cost, contraction = _contracted(cost, parents, circle)
        done.append(contraction)
    for contraction in reversed(done):
        parents = _expanded(contraction, parents)
    return parents


def _contracted(cost: Matrix, parents: list[int], circle: list[int]) -> tuple[Matrix, _Contraction]:
    nodes, inside = np.array(circle), np.zeros(len(cost), bool)
    inside[nodes] = True
    rest = np.flatnonzero(~inside)
    enter = cost[np.ix_(rest, nodes)] - cost[np.array(parents)[nodes], nodes]
    leave = cost[np.ix_(nodes, rest)]
    small = np.full((len(rest) + 1,) * 2, np.inf)
    small[:-1, :-1] = cost[np.ix_(rest, rest)]
    small[:-1, -1], small[-1, :-1] = enter.min(1), leave.min(0)
    small[:, 0] = np.inf
    return small, _Contraction(parents, circle, rest.tolist(), enter.argmin(1).tolist(), leave.argmin(0).tolist())


def _expanded(made: _Contraction, found: list[int]) -> list[int]:
    """Parents before the contraction from those after it: the circle is opened where it is entered."""
    parents, last = list(made.parents), len(made.rest)
    for i, node in enumerate(made.rest[1:], start=1):
        parents[node] = made.rest[found[i]] if found[i] < last else made.circle[made.left[i]]
    parents[made.circle[made.entered[found[last]]]] = made.rest[found[last]]
    return parents


def _circle(parent: list[int]) -> list[int]:
    """The nodes of one circle that following parents runs into, or []."""
    colour = [0] * len(parent)
    for start in range(1, len(parent)):
        path, node = [], start
        while node > 0 and colour[node] == 0:
            colour[node] = start
            path.append(node)
            node = parent[node]
        if node > 0 and colour[node] == start and node in path:
            return path[path.index(node) :]
    return []
