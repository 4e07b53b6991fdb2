"""The undirected tree of a family: a minimum spanning tree in which proofs are kept and merges are no short cuts."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.family import Proof

Matrix = NDArray[np.float64]
Edge = tuple[int, int]
_CLEARLY = 0.97  # a merge takes over what is nearer to it by more than chance


def spanning_tree(cost: Matrix, forced: Iterable[Edge], without: Iterable[int] = ()) -> set[Edge]:
    """Edges (i, j), i < j, of the minimum spanning tree over all nodes but `without`; `forced` edges come first.

    Infinite costs are no edges, so the result may be a forest. Kruskal, O(n^2 log n); ties go to the earlier pair.
    """
    left = set(without)
    parent = list(range(len(cost)))
    tree: set[Edge] = set()
    i, j = np.triu_indices(len(cost), 1)
    order = np.argsort(cost[i, j], kind="stable")
    ordered = [*forced, *zip(i[order].tolist(), j[order].tolist(), strict=True)]
    for a, b in ordered:
        if a in left or b in left or not np.isfinite(cost[a, b]):
            continue
        x, y = _find(parent, a), _find(parent, b)
        if x != y:
            parent[x] = y
            tree.add((min(a, b), max(a, b)))
    return tree


def _find(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


def insert_merge(
    tree: set[Edge], cost: Matrix, merge: Proof, fixed: set[Edge], root: int = -1, above: Iterable[int] = ()
) -> set[Edge]:
    """`tree` with the merge hung on its first parent, and with it the subtrees that are nearer to it than to others.

    The same goes for other models that were kept out of the tree, hung on their only parent.

    By Stewart's theorem a merge lies nearer to the grandparent than its parents do. So a subtree moves to it only if
    it holds none of the parents, none of what is `above` these, and not the `root` as far as that is known; `fixed`
    edges stay.
    """
    ancestors = {*merge.parents, *above}
    m, first = merge.child, merge.parents[0]
    old, tree = sorted(tree, key=lambda e: -cost[e]), set(tree) | {(min(m, first), max(m, first))}
    for u, v in old:
        if (u, v) in fixed:
            continue
        side = component(tree - {(u, v)}, u)
        inside = [p in side for p in ancestors]
        if all(inside) or not any(inside):
            far = v if all(inside) else u
            if root >= 0 and (root in side) == (far == u):
                continue
            if cost[m, far] < _CLEARLY * cost[u, v]:
                tree = (tree - {(u, v)}) | {(min(m, far), max(m, far))}
    return tree


def component(tree: Iterable[Edge], start: int) -> set[int]:
    """Nodes that `tree` joins to `start`, itself included."""
    near = neighbours(tree)
    seen, queue = {start}, [start]
    while queue:
        for other in near.get(queue.pop(), ()):
            if other not in seen:
                seen.add(other)
                queue.append(other)
    return seen


def components(tree: Iterable[Edge], count: int) -> list[list[int]]:
    """The nodes 0 to `count` - 1 by component, each ascending."""
    edges, left, out = list(tree), set(range(count)), []
    while left:
        part = component(edges, min(left))
        left -= part
        out.append(sorted(part))
    return out


def neighbours(tree: Iterable[Edge]) -> dict[int, list[int]]:
    """Neighbours of each node, ascending."""
    near: dict[int, list[int]] = {}
    for i, j in sorted(tree):
        near.setdefault(i, []).append(j)
        near.setdefault(j, []).append(i)
    return near


def orient(tree: Iterable[Edge], root: int) -> dict[int, int]:
    """Parent of each node that `tree` joins to `root`, except the root's."""
    near = neighbours(tree)
    parent: dict[int, int] = {}
    queue = [root]
    while queue:
        node = queue.pop()
        for other in near.get(node, ()):
            if other != root and other not in parent:
                parent[other] = node
                queue.append(other)
    return parent


def root_scores(tree: Sequence[Edge], towards: dict[Edge, float], nodes: Sequence[int]) -> dict[int, float]:
    """Score of every node of one component as its root: the sum of log-likelihood ratios away from it.

    `towards[i, j]` is the ratio for 'i is the parent of j'. O(n): one pass down, then one step an edge.
    """
    start = nodes[0]
    down = orient(tree, start)
    score: dict[int, float] = {start: sum(_ratio(towards, p, c) for c, p in down.items())}
    near = neighbours(tree)
    queue = [start]
    while queue:
        node = queue.pop()
        for other in near.get(node, ()):
            if other not in score:
                # the root steps over one edge, which turns round
                score[other] = score[node] - 2 * _ratio(towards, node, other)
                queue.append(other)
    return score


def _ratio(towards: dict[Edge, float], p: int, c: int) -> float:
    return towards[p, c] if (p, c) in towards else -towards[c, p]
