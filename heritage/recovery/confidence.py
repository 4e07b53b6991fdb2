"""How sure an edge is: of joining the right two models, and of its direction under every possible root."""

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Claim:
    """What is known of an edge that no proof tells.

    `direction`: chance of its direction under all roots; `margin` over the next best edge; `ratio`: its own
    log-likelihood ratio; whether it is an `adapter`, and whether its parent is the root.
    """

    direction: float
    margin: float
    ratio: float
    adapter: bool
    from_root: bool

    def covariates(self) -> dict[str, float]:
        """The numbers that `fitted.CONFIDENCE` weighs."""
        direction = min(max(self.direction, 1e-6), 1 - 1e-6)
        close = float(np.exp(-max(self.margin, 0.0) / 0.1))
        return {
            "constant": 1.0,
            "direction": float(np.clip(np.log(direction / (1 - direction)), -5, 5)),
            "close": close,
            "adapter": float(self.adapter),
            "close_adapter": close * self.adapter,
            "from_root": float(self.from_root),
            "ratio": float(np.clip(self.ratio, -6, 6)) / 6,
        }


def edge_confidence(claim: Claim) -> float:
    """The calibrated chance that an edge is right, by the fitted logistic of `fitted.CONFIDENCE`."""
    score = sum(fitted.CONFIDENCE[name] * value for name, value in claim.covariates().items())
    return float(1 / (1 + np.exp(-score)))
