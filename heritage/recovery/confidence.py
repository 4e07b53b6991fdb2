"""How sure an edge is: of being in the tree at all, and of its direction under every possible root."""

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.tree import Edge, component, orient


def direction_confidence(tree: list[Edge], root: int, chance: dict[int, float]) -> dict[Edge, float]:
    """For every edge, the chance that the true root lies on its parent's side, given the `chance` of each node."""
    below: dict[int, float] = {}
    parent = orient(tree, root)
    for node in reversed(_from_root(parent, root)):
        below[node] = below.get(node, 0.0) + chance[node]
        if node in parent:
            below[parent[node]] = below.get(parent[node], 0.0) + below[node]
    return {(min(p, c), max(p, c)): 1.0 - below[c] for c, p in parent.items()}


def _from_root(parent: dict[int, int], root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for c, p in parent.items():
        children.setdefault(p, []).append(c)
    order = [root]
    for node in order:
        order += children.get(node, ())
    return order


def topology_confidence(tree: list[Edge], cost: NDArray[np.float64]) -> dict[Edge, float]:
    """For every edge, how sure it is that no other one joins the two sides: from the cost of the cheapest other."""
    out = {}
    for e in tree:
        side = component(set(tree) - {e}, e[0])
        rest = component(set(tree) - {e}, e[1])
        across = cost[np.ix_(sorted(side), sorted(rest))].copy()
        across[sorted(side).index(e[0]), sorted(rest).index(e[1])] = np.inf
        margin = float(np.log(across.min() / max(cost[e], 1e-300))) if across.size > 1 else 2.0
        out[e] = float(0.97 - 0.35 * np.exp(-max(margin, 0.0) / 0.05))
    return out
