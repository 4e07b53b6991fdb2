"""Rows that weight decay alone has touched: every entry nearer to zero in the child than in the parent.

Embeddings of tokens that do not occur, inputs that are constant and dead units get no gradient. With decay they shrink,
without it they stay bit for bit: both tell more than any norm.
"""

from dataclasses import dataclass

import numpy as np

from heritage.recovery.family import Family
from heritage.recovery.stack import Floats

_MOVED = 18
_TOLD = 5  # rows that are enough
_LOOKED_AT = 2**17  # values of one model, embeddings first


@dataclass(frozen=True, slots=True)
class Scaled:
    """Rows and columns in which every entry went towards zero, or away from it, or stayed.

    `partly`: some matrices were trained and others frozen, other than by an adapter.
    """

    shrunk: int = 0
    grown: int = 0
    still: int = 0
    partly: bool = False

    @property
    def direction(self) -> float:
        """1 where the first model looks like the parent, -1 where the second does, 0 where nothing is told."""
        more, less = max(self.shrunk, self.grown), min(self.shrunk, self.grown)
        return float(np.sign(self.shrunk - self.grown)) if more > 3 * less else 0.0


def scaled_rows(family: Family, p: int, c: int, least: int = _MOVED) -> Scaled:
    """What happened from p to c to the rows and columns that no gradient reached, over all matrices but the head.

    At least `least` entries of a row or column must have moved.
    """
    shrunk = grown = still = 0
    frozen = trained = looked = 0
    named = [("embed" not in family.stack.slots[k].name, k) for k in family.shared(p, c)]
    for _, k in sorted(named):  # rows that get no gradient are mostly those of rare tokens
        slot = family.stack.slots[k]
        if not slot.is_matrix or family.heads[k]:
            continue
        if family.equal[k, p, c] == 1.0:
            frozen += 1
            continue
        trained += 1
        if max(shrunk, grown, still) >= _TOLD or looked >= _LOOKED_AT:
            continue
        rows = family.some_rows(p, c, k)
        looked += rows[0].size
        less, more, same = _count(*rows, least)
        shrunk, grown, still = shrunk + less, grown + more, still + same
    return Scaled(shrunk, grown, still, frozen > 0 and (not trained or not family.same_vectors[p, c]))


def _count(a: Floats, b: Floats, least: int = _MOVED) -> tuple[int, int, int]:
    """Rows and columns in which every entry that moved went towards zero, away from it, and that did not move.

    By chance, with `least` entries, one row in 2^`least` would. AdamW and SGD scale such rows by one factor, Adam
    with an L2 penalty moves every entry by the same amount; rounding leaves some entries where they were.
    """
    change = (b - a) * (b + a)  # changes its sign with the direction, as b^2 - a^2
    pruned = (a == 0) | (b == 0)
    if pruned.any():  # which is no decay
        change[pruned] = 0
    shrunk = grown = still = 0
    for axis in (1, 0):
        if change.shape[axis] < least:
            continue
        low, high = change.min(axis), change.max(axis)
        one_way = np.flatnonzero((low < 0) ^ (high > 0))
        moved = np.count_nonzero(np.take(change, one_way, axis=1 - axis), axis=axis) >= least
        shrunk += int((moved & (low[one_way] < 0)).sum())
        grown += int((moved & (high[one_way] > 0)).sum())
        stayed = (low == 0) & (high == 0)
        if stayed.any():
            still += int((stayed & a.any(axis)).sum())
    return shrunk, grown, still
