"""Original or rounded copy: which of the two a model was made from, though it is about as near to both."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from heritage.recovery.cues import Cues
    from heritage.recovery.evidence import Evidence
    from heritage.recovery.family import Family

_AT_MOST = 20.0  # nats of one row: a row that no gradient reached would outweigh everything
_FLOOR = 1e-12  # of the squared norm: what rounding leaves of a difference
_TELLS = 1.0  # nats
_BETWEEN = 0.4  # of the odds that are expected of a child
# odds that make a child that of the copy: narrower types are made to serve, and seldom trained on
_NEEDED = {"quantize": _TELLS, "copy": 10.0}
_SHARPNESS = 20.0  # log-likelihood of one unit of log cost
_WIDEST = 0.5

Matrix = NDArray[np.float64]
Origins = dict[tuple[int, int], Matrix]


def origins(family: "Family", evidence: "Evidence") -> Origins:
    """The `log_odds` of members for all proved pairs (original, rounded copy), 0 where the origin is proved."""
    explained = sorted({p.child for p in (*evidence.edges, *evidence.merges)})
    found = {}
    for proof in evidence.edges:
        if proof.relation in _NEEDED:
            odds = log_odds(family, proof.parents[0], proof.child)
            odds[(odds > 0) & (odds < _NEEDED[proof.relation])] = 0.0
            odds[explained] = 0.0
            found[proof.parents[0], proof.child] = odds
    return found


def log_odds(family: "Family", original: int, copy: int) -> Matrix:
    """Log odds of 'made from `copy`' over 'made from `original`' for every member, (n,); 0 where they tell nothing.

    What rounding did to a copy is at right angles to whatever its child learnt, so d2(original, child) is larger than
    d2(copy, child) by d2(original, copy), and the other way round for children of the original. The length of a child's
    step drowns that difference where it is long, and it is longer in some slots and rows than in others. So each has a
    variance of its own: n/2 log of the ratio of both distances, over n independent values. Fingerprints have rows, too:
    those that learnt nothing tell most, and no sketch shows them. A merge of descendants of both lies between them.
    """
    d2 = family.distances.squared
    told = np.zeros((2, family.count))
    for k in np.flatnonzero(d2[:, original, copy] > 0):
        least = _FLOOR * family.distances.norms[k, original]
        told += _nats(d2[k, original], d2[k, copy], d2[k, original, copy], least, family.independent[k])
        if family.error and family.stack.slots[k].is_matrix:
            told += _of_rows(family, original, copy, int(k))
    odds, whole = told
    odds[(np.abs(odds) < np.maximum(_TELLS, _BETWEEN * whole))] = 0.0
    odds[[original, copy]] = 0.0
    return np.asarray(odds)


def _of_rows(family: "Family", original: int, copy: int, k: int) -> Matrix:
    """What rows tell whose values are kept: those in which the copy differs from the original."""
    rows = family.block(range(family.count), k).astype(np.float64)
    least = _FLOOR * (rows[original] ** 2).sum(1)
    from_original, from_copy = (((rows - rows[i]) ** 2).sum(2) for i in (original, copy))
    differ = from_original[copy] > least
    nats = _nats(from_original, from_copy, from_original[copy], least, rows.shape[2])[:, :, differ]
    return np.asarray(np.clip(nats, -_AT_MOST, _AT_MOST).sum(2))


def _nats(first: Matrix, second: Matrix, apart: Matrix, least: Matrix, count: float) -> Matrix:
    """Log odds by both distances, and those that are expected, (2, ...); 0 where a model lacks the slot."""
    first, second = (np.maximum(d2, least + 1e-30) for d2 in (first, second))
    nats = count / 2 * np.stack([np.log(first / second), np.log1p(apart / np.minimum(first, second))])
    return np.asarray(np.nan_to_num(nats, nan=0.0))


def beside_copies(cost: Matrix, cues: "Cues") -> Matrix:
    """`cost`, with a model nearer to that of an original and its rounded copy from which it was made."""
    cost = cost.copy()
    for (original, copy), odds in cues.origins.items():
        for c in np.flatnonzero(odds).tolist():
            near, far = (copy, original) if odds[c] > 0 else (original, copy)
            apart = np.exp(min(_WIDEST, abs(odds[c]) / _SHARPNESS))
            if cost[far, c] < apart * cost[near, c]:
                middle = np.sqrt(cost[far, c] * cost[near, c])
                cost[near, c] = cost[c, near] = min(cost[near, c], middle)
                cost[far, c] = cost[c, far] = apart * cost[near, c]
    return cost


def shape(cues: "Cues", g: int, x: int, c: int) -> float | None:
    """Log odds of g -> x -> c over g -> x, g -> c where x is a rounded copy of g, None where nothing is told."""
    odds = cues.origins.get((g, x))
    return float(odds[c]) if odds is not None and odds[c] != 0 else None
