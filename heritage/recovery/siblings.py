"""Sibling or grandchild: models that took a long step look nearer to a sibling that took a short, similar one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.cues import Cues
from heritage.recovery.originals import shape as of_copies
from heritage.recovery.precision import NARROW
from heritage.recovery.tree import Edge, orient

_ROUNDS = 2
_HUB = 0.6  # weight of the log ratio of the numbers of children
_DIRECTION = 0.5
_DIRECTION_AT_MOST = 3.0
_OUTLIER = 0.02
_RANK = 20.0
_MOST_OF = 0.6
_BEYOND_NOISE = 0.2  # ranks are counted to so much where steps drown in rounding
_NO_FARTHER = 1.1  # a child of a sibling is nearer to it than to the common parent, within the error of a sketch
# cosine between the steps of siblings, mean and spread on generated forests
_SIBLING_MEAN, _SIBLING_SPREAD = 0.05, 0.09

Matrix = NDArray[np.float64]


def straighten(tree: set[Edge], root: int, cues: Cues, kept: set[Edge]) -> set[Edge]:
    """`tree` with nodes moved from a parent to the grandparent where they look more like the parent's siblings.

    Under g -> x -> c the projection of c - g on x - g is x - g itself; for siblings x and c it is a small part of it,
    unless x took a much shorter step than c. The likelihoods of both, the direction cues of both edges and the number
    of children of both parents decide. Then adapters move below a sibling where ranks tell so. Edges in `kept` stay.
    """
    body, whole = _totals(cues)
    merges = {p.child for p in cues.evidence.merges}
    tree = set(tree)
    for _ in range(_ROUNDS):
        parent = orient(tree, root)
        children = np.bincount([*parent.values()], minlength=len(body)).astype(float)
        moved = 0
        for c, x in sorted(parent.items()):
            g = parent.get(x)
            edge = (min(c, x), max(c, x))
            if g is None or edge in kept or x in merges:
                continue
            if _prefers_parent(body if body[g, x] > 0 else whole, cues, children, g, x, c) >= 0:
                continue
            tree = (tree - {edge}) | {(min(c, g), max(c, g))}
            parent[c] = g
            children[x] -= 1
            children[g] += 1
            moved += 1
        if not moved:
            break
    return _below_a_sibling(tree, root, cues, kept)


def _totals(cues: Cues) -> tuple[Matrix, Matrix]:
    """Squared distances over the backbone, freed of shared directions, and over everything that both models have."""
    family = cues.family
    squared, heads = family.distances.squared, family.heads
    matrix = np.array([s.is_matrix for s in family.stack.slots], bool) & ~heads
    parts = [np.nansum(squared[k], axis=0) for k in (matrix, ~matrix & ~heads, heads)]
    body = parts[0] * family.white + parts[1]
    return np.asarray(body), np.asarray(body + parts[2])


def _prefers_parent(total: Matrix, cues: Cues, children: Matrix, g: int, x: int, c: int) -> float:
    """Log odds of g -> x -> c over g -> x, g -> c."""
    first, whole = total[g, x], total[g, c]
    if first <= 0 or whole <= 0:
        return 0.0
    along = (first + whole - total[x, c]) / 2 / first
    shorter = float(np.sqrt(first / whole))
    told = of_copies(cues, g, x, c)
    shape = _log_chain(along, shorter) - _log_siblings(along, shorter) if told is None else told
    shape += _by_rank(cues, g, x, c)
    ratios = [float(np.clip(cues.ratio(p, c), -_DIRECTION_AT_MOST, _DIRECTION_AT_MOST)) for p in (x, g)]
    hub = np.log(children[x] + 0.5) - np.log(children[g] + 0.5)
    return shape + _DIRECTION * (ratios[0] - ratios[1]) + _HUB * float(hub)


def _by_rank(cues: Cues, g: int, x: int, c: int) -> float:
    """Ranks of adapters add up along a path: over x from g to c in a chain, over g from x to c between siblings.

    So a chain has a rank from g to c that is larger than that from x to c by the rank from g to x; siblings the other
    way round. What is not low enough to be counted is taken to be large.
    """
    same = cues.family.same_vectors
    if not (same[x, c] and same[g, c]):
        return 0.0
    first, second, whole = _total_ranks(cues, ((g, x), (x, c), (g, c)))
    if not 0 < first < np.inf or not min(second, whole) < np.inf:
        return 0.0
    rounded = any(cues.family.dtypes[i] in NARROW for i in (g, x, c))
    needed = max(_MOST_OF * first, _BEYOND_NOISE * min(second, whole) if rounded else 0.0)
    return float(np.sign(whole - second)) * _RANK if abs(whole - second) > needed else 0.0


def _total_ranks(cues: Cues, pairs: Sequence[tuple[int, int]]) -> list[float]:
    """Rank of each pair's difference, over the slots where that of all is known; infinite where it is not low."""
    found = [cues.adapter(min(e), max(e)) for e in pairs]
    counted = [(a, e) for a, e in zip(found, pairs, strict=True) if a is not None and a.counted]
    totals = np.zeros(len(counted))
    for k, slot in enumerate(cues.family.stack.slots):
        ranks = [a.ranks.get(slot.name, 0.0 if cues.family.equal[k][e] == 1.0 else np.nan) for a, e in counted]
        if not np.isnan(ranks).any():
            totals += ranks
    known = iter(totals.tolist())
    return [next(known) if a is not None and a.counted else float("inf") for a in found]


def _below_a_sibling(tree: set[Edge], root: int, cues: Cues, kept: set[Edge]) -> set[Edge]:
    """`tree` with adapters moved from a parent to a sibling, where ranks say that they were made from it."""
    body, _ = _totals(cues)
    merges = {p.child for p in cues.evidence.merges}
    parent = orient(tree, root)
    for c, g in sorted(parent.items()):
        edge = (min(c, g), max(c, g))
        near = [x for x, p in parent.items() if p == g and x != c and body[x, c] < _NO_FARTHER * body[g, c]]
        near = [x for x in near if x not in merges and edge not in kept and _by_rank(cues, g, x, c) > 0]
        if near:
            parent[c] = min(near, key=lambda x, c=c: (body[x, c], x))  # type: ignore[misc]
    return {(min(e), max(e)) for e in parent.items()}


def _log_chain(along: float, shorter: float) -> float:
    return _log_density(along, 1.0, 0.12 + 0.05 * min(3.0, 1 / max(shorter, 0.05)))


def _log_siblings(along: float, shorter: float) -> float:
    return _log_density(along, _SIBLING_MEAN / shorter, max(0.02, _SIBLING_SPREAD / shorter))


def _log_density(value: float, mean: float, spread: float) -> float:
    """Log of a normal density with a flat share for outliers, without the constant."""
    return float(np.log(0.9 * np.exp(-(((value - mean) / spread) ** 2) / 2) / spread + _OUTLIER))
