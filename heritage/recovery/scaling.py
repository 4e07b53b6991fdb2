"""Rows that weight decay alone has touched: every entry nearer to zero in the child than in the parent.

Embeddings of tokens that do not occur, inputs that are constant and dead units get no gradient. With decay they shrink,
without it they stay bit for bit: both tell more than any norm.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.family import Family

_MOVED = 18
_MOST_ELEMENTS = 2**18


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


def scaled_rows(family: Family, p: int, c: int) -> Scaled:
    """What happened from p to c to the rows and columns that no gradient reached, over all matrices but the head."""
    shrunk = grown = still = 0
    frozen = 0
    for k in family.shared(p, c):
        slot = family.stack.slots[k]
        if not slot.is_matrix or family.heads[k] or slot.size > _MOST_ELEMENTS:
            continue
        if family.equal[k, p, c] == 1.0:
            frozen += 1
            continue
        a, b = (family.values(i, k).reshape(slot.shape[0], -1) for i in (p, c))
        for x, step in ((a, b - a), (a.T, (b - a).T)):
            if x.shape[1] >= _MOVED:
                less, more, same = _count(x, step)
                shrunk, grown, still = shrunk + less, grown + more, still + same
    return Scaled(shrunk, grown, still, frozen > 0 and not family.same_vectors[p, c])


def _count(x: NDArray[np.float32], step: NDArray[np.float32]) -> tuple[int, int, int]:
    """Rows in which every entry that moved went towards zero, away from it, and rows that did not move.

    By chance, with `_MOVED` entries, one row in 2^`_MOVED` would. AdamW and SGD scale such rows by one factor, Adam
    with an L2 penalty moves every entry by the same amount; rounding leaves some entries where they were.
    """
    change = step * x
    inward, outward = (change < 0).sum(1), (change > 0).sum(1)
    still = ~step.any(1) & x.any(1)
    return (
        int(((outward == 0) & (inward >= _MOVED)).sum()),
        int(((inward == 0) & (outward >= _MOVED)).sum()),
        int(still.sum()),
    )
