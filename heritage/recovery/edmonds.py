"""Minimum spanning arborescence of a dense directed graph (Chu and Liu 1965, Edmonds 1967)."""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def minimum_arborescence(cost: Matrix) -> dict[int, int]:
    """Parent of every node but the root, of least total cost; `cost[i, j]` is that of the edge i -> j.

    The root is chosen so that the total is least. Infinite costs are no edges. O(n^3) in the worst case.
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


def _rooted(cost: Matrix) -> list[int]:
    """Parents in the least arborescence from node 0 (whose own entry is -1)."""
    n = len(cost)
    parent = [-1] + [int(np.argmin(cost[:, c])) for c in range(1, n)]
    circle = _circle(parent)
    if not circle:
        return parent
    inside = np.zeros(n, bool)
    inside[circle] = True
    nodes = np.array(circle)
    rest = np.flatnonzero(~inside)
    own = np.array([cost[parent[c], c] for c in circle])
    enter = cost[np.ix_(rest, nodes)] - own[None, :]
    leave = cost[np.ix_(nodes, rest)]
    small = np.full((len(rest) + 1,) * 2, np.inf)
    small[:-1, :-1] = cost[np.ix_(rest, rest)]
    small[:-1, -1], small[-1, :-1] = enter.min(1), leave.min(0)
    small[:, 0] = np.inf
    found = _rooted(small)
    for i, node in enumerate(rest[1:], start=1):
        parent[node] = int(rest[found[i]]) if found[i] < len(rest) else circle[int(np.argmin(leave[:, i]))]
    came = found[len(rest)]
    entry = circle[int(np.argmin(enter[came]))]
    parent[entry] = int(rest[came])
    return parent


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
