"""How sure an edge is: of joining the right two models, and of its direction under every possible root."""

import numpy as np
from numpy.typing import NDArray

from heritage.recovery import fitted
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


def margins(tree: list[Edge], cost: NDArray[np.float64]) -> dict[Edge, float]:
    """For every edge, the log of how much dearer the cheapest other edge between its two sides is; at most 1."""
    out = {}
    everything = set(tree)
    for e in tree:
        side, rest = sorted(component(everything - {e}, e[0])), sorted(component(everything - {e}, e[1]))
        across = cost[np.ix_(side, rest)].copy()
        across[side.index(e[0]), rest.index(e[1])] = np.inf
        out[e] = float(np.clip(np.log(across.min() / max(cost[e], 1e-300)), -1.0, 1.0))
    return out


def edge_confidence(direction: float, margin: float) -> float:
    """The calibrated chance that an edge is right, by the fitted logistic of `fitted.CONFIDENCE`."""
    constant, by_direction, by_margin = fitted.CONFIDENCE
    odds = np.log(max(direction, 1e-6) / max(1 - direction, 1e-6))
    score = constant + by_direction * float(np.clip(odds, -5, 5)) + by_margin * np.exp(-max(margin, 0.0) / 0.1)
    return float(1 / (1 + np.exp(-score)))
