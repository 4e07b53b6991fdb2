"""Families whose weights are at hand."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.evidence import Evidence, gather
from heritage.recovery.family import Family
from heritage.recovery.proofs.lowrank import LowRank, low_rank
from heritage.recovery.scaling import Scaled, scaled_rows
from heritage.recovery.stack import Floats, Stack

_BLOCK = 64  # rows and columns over which directions are looked at
_MOST_ELEMENTS = 2**15  # of one tensor, in which rows are looked for that only decayed


class WeighedFamily(Family):
    """A family of checkpoints: everything that the weights show can be found out."""

    stack: Stack

    @property
    def independent(self) -> NDArray[np.float64]:
        """The values of each slot."""
        return self.distances.sizes

    def gather(self) -> Evidence:
        """All proofs, and the traits of single members."""
        return gather(self)

    def adapter(self, i: int, j: int) -> LowRank | None:
        """The low-rank difference of members i and j, if it is one."""
        return low_rank(self, i, j)

    def some_rows(self, i: int, j: int, k: int) -> tuple[Floats, Floats]:
        """Slot k of both members as matrices; of a large one the first whole rows."""
        rows = self.stack.slots[k].shape[0]
        columns = self.stack.slots[k].size // rows
        some = min(rows, max(1, _MOST_ELEMENTS // columns))
        a, b = (self.stack.first(self.members[m], k, some * columns).reshape(some, columns) for m in (i, j))
        return a, b

    def block(self, members: Sequence[int], k: int) -> Floats:
        """The first rows and columns of slot k of `members`, (members, rows, columns)."""
        rows = self.stack.slots[k].shape[0]
        columns = self.stack.slots[k].size // rows
        some = min(rows, _BLOCK)
        values = [self.stack.first(self.members[i], k, some * columns).reshape(some, columns) for i in members]
        return np.stack([v[:, :_BLOCK] for v in values])

    def scaled(self, i: int, j: int) -> Scaled:
        """Rows that decay alone has touched between members i and j."""
        return scaled_rows(self, i, j)
