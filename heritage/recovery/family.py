"""One family under study: its members, what was measured of them, and the proofs found so far."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.architecture import is_head
from heritage.recovery.distance import Distances
from heritage.recovery.precision import kept_dtype, rounding_variance
from heritage.recovery.sample import Sample
from heritage.recovery.stack import Comparable, Floats
from heritage.recovery.whitening import whitened_share

if TYPE_CHECKING:
    from heritage.recovery.evidence import Evidence
    from heritage.recovery.proofs.lowrank import LowRank
    from heritage.recovery.scaling import Scaled


MOST_LOOKED_AT = 2**17


@dataclass(frozen=True, slots=True)
class Proof:
    """A relation that the weights themselves show. Positions are those of the family's members.

    `parents` has one entry, or for a merge two or more. `nats` is how strongly the direction is shown. `base` is the
    model from which a TIES merge took its task vectors.
    """

    relation: str
    parents: tuple[int, ...]
    child: int
    nats: float
    method: str
    parameters: dict[str, Any] = field(default_factory=dict)
    base: int | None = None


@dataclass(eq=False)
class Family(ABC):
    """`members` are positions in `stack`; `sample` has one row a member.

    What can be found out depends on what is at hand: the weights (`WeighedFamily`) or fingerprints (`SketchedFamily`).
    """

    stack: Comparable
    members: Sequence[int]
    sample: Sample
    distances: Distances

    @abstractmethod
    def gather(self) -> "Evidence":
        """All proofs, and the traits of single members."""

    @abstractmethod
    def adapter(self, i: int, j: int) -> "LowRank | None":
        """The low-rank difference of members i and j, if it is one."""

    @abstractmethod
    def some_rows(self, i: int, j: int, k: int) -> tuple[Floats, Floats]:
        """Some rows of slot k, or stretches of them, the same of members i and j."""

    @abstractmethod
    def block(self, members: Sequence[int], k: int) -> Floats:
        """The same rows and columns of slot k of `members`, (members, rows, columns)."""

    @abstractmethod
    def scaled(self, i: int, j: int) -> "Scaled":
        """Rows that decay alone has touched between members i and j."""

    @property
    def count(self) -> int:
        """Number of members."""
        return len(self.members)

    @property
    def error(self) -> float:
        """Relative standard error of inner products of steps: 0 where weights are at hand."""
        return 0.0

    @property
    @abstractmethod
    def independent(self) -> NDArray[np.float64]:
        """How many independent values the squared distance of each slot is a sum of."""

    @cached_property
    def white(self) -> NDArray[np.float64]:
        """Squared distances of matrices, heads apart, that are freed of shared directions, over those that are not."""
        return whitened_share(self)

    def values(self, i: int, k: int) -> Floats:
        """Slot k of member i, flat."""
        return self.stack.values(self.members[i], k)

    def some_values(self, i: int, k: int) -> Floats:
        """The first `MOST_LOOKED_AT` values of slot k of member i, in whole rows: enough to prove or refute."""
        slot = self.stack.slots[k]
        row = slot.size // max(1, slot.shape[0] if slot.shape else 1)
        count = slot.size if slot.size <= MOST_LOOKED_AT else max(row, MOST_LOOKED_AT // row * row)
        if count == slot.size:
            return self.values(i, k)
        return np.asarray(self.stack.picked(k, [self.members[i]], np.arange(count))[0])

    def present(self, i: int) -> NDArray[np.bool_]:
        """Which slots member i has."""
        return np.asarray(self.stack.present[:, self.members[i]])

    def shared(self, i: int, j: int) -> list[int]:
        """The slots that members i and j both have."""
        return [int(k) for k in np.flatnonzero(self.present(i) & self.present(j))]

    @cached_property
    def heads(self) -> NDArray[np.bool_]:
        """Which slots belong to the output layer."""
        everything = {s for m in self.stack.models for s in m.signature.slots}
        return np.array([is_head(s, everything) for s in self.stack.slots], bool)

    @cached_property
    def matrix_columns(self) -> NDArray[np.bool_]:
        """Which columns of the sample belong to matrices."""
        return np.array([s.is_matrix for s in self.stack.slots], bool)[self.sample.slot_of]

    @cached_property
    def dtypes(self) -> list[str]:
        """The narrowest type that holds each member's values."""
        return [kept_dtype(v, self._stored(i)) for i, v in enumerate(self.sample.values)]

    @cached_property
    def noise(self) -> NDArray[np.float64]:
        """Variance of the rounding of each sampled value, shape of the sample."""
        return np.stack([rounding_variance(v, d) for v, d in zip(self.sample.values, self.dtypes, strict=True)])

    @cached_property
    def equal(self) -> NDArray[np.float32]:
        """1 where all sampled values of a slot are equal in two members, else 0, (K, n, n); NaN where one lacks it."""
        values = self.sample.values + np.float32(0.0)  # one zero, not two
        out = np.empty((len(self.stack.slots), self.count, self.count), np.float32)
        for k in range(len(self.stack.slots)):
            rows = [hash(row.tobytes()) for row in values[:, self.sample.columns(k)]]
            out[k] = np.equal.outer(rows, rows)
            here = self.stack.present[k, np.asarray(self.members)]
            out[k][~np.outer(here, here)] = np.nan
        return out

    @cached_property
    def same_vectors(self) -> NDArray[np.bool_]:
        """Pairs whose biases and gains are all equal, heads apart: nothing was trained in full between them."""
        vectors = np.array([not s.is_matrix for s in self.stack.slots]) & ~self.heads
        different = np.where(np.isnan(self.equal[vectors]), 1.0, self.equal[vectors]) < 1.0
        return np.asarray(different.sum(0) == 0) if vectors.any() else np.ones((self.count,) * 2, bool)

    def _stored(self, i: int) -> str:
        here = [k for k in range(len(self.stack.slots)) if self.stack.present[k, self.members[i]]]
        largest = max(here, key=lambda k: self.stack.slots[k].size)
        return self.stack.dtype(self.members[i], largest)
