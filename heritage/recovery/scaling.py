"""Rows that weight decay alone has touched: every entry nearer to zero in the child than in the parent.

Embeddings of tokens that do not occur, inputs that are constant and dead units get no gradient. With decay they shrink,
without it they stay bit for bit: both tell more than any norm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.family import Family
from heritage.recovery.stack import Floats

_MOVED = 18
_TOLD = 5  # rows that are enough
_LOOKED_AT = 2**17  # values of one model, embeddings first
_GLANCE = 32  # entries that refute most rows
_FEW = 2**13  # entries of a matrix that are looked at as a whole


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
    with an L2 penalty moves every entry by the same amount; rounding leaves some entries where they were. Most rows are
    refuted by their first entries.
    """
    shrunk = grown = still = 0
    whole = _change(a, b) if a.size <= _FEW else None
    for axis in (1, 0):
        if a.shape[axis] < least:
            continue
        part = (slice(None), slice(_GLANCE)) if axis else (slice(_GLANCE), slice(None))
        left = _one_way(_change(a[part], b[part]) if whole is None else whole, axis)
        if left.size:
            less, more, same = _counted(np.take(a, left, 1 - axis), np.take(b, left, 1 - axis), axis, least)
            shrunk, grown, still = shrunk + less, grown + more, still + same
    return shrunk, grown, still


def _change(a: Floats, b: Floats) -> Floats:
    """What has the sign of the change of the size of each entry; 0 where one is 0, which pruning leaves, not decay."""
    change = (b - a) * (b + a)
    if not (a.all() and b.all()):
        change[(a == 0) | (b == 0)] = 0
    return np.asarray(change)


def _one_way(change: Floats, axis: int) -> NDArray[np.int64]:
    """The rows (axis 1) or columns (0) whose entries do not move both ways."""
    return np.asarray(((change.min(axis) >= 0) | (change.max(axis) <= 0)).nonzero()[0])


def _counted(a: Floats, b: Floats, axis: int, least: int) -> tuple[int, int, int]:
    """Of a few rows or columns, how many went towards zero, away from it, and nowhere."""
    change = _change(a, b)
    low, high = change.min(axis), change.max(axis)
    one_way = ((low < 0) ^ (high > 0)) & (np.count_nonzero(change, axis=axis) >= least)
    stayed = (low == 0) & (high == 0) & a.any(axis)
    return int((one_way & (low < 0)).sum()), int((one_way & (high > 0)).sum()), int(stayed.sum())
