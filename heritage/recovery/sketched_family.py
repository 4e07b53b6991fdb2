"""Families of fingerprints: sketches for distances, digests for equality, counts and kept values for proofs."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.evidence import Evidence
from heritage.recovery.family import Family
from heritage.recovery.precision import kept_dtype, spacing
from heritage.recovery.proofs.lowrank import LowRank, rank_of
from heritage.recovery.sample import Sample
from heritage.recovery.scaling import Scaled, scaled_rows
from heritage.recovery.sketched import SketchStack
from heritage.recovery.sketched_proofs import gather_sketched
from heritage.recovery.stack import Floats
from heritage.weights.fingerprint_sample import SEGMENT
from heritage.weights.sketch import BLOCK_ROWS, WIDTH

_ENOUGH_ROWS = 12  # and columns: a lower rank than half of them shows


class SketchedFamily(Family):
    """A family of fingerprints."""

    stack: SketchStack

    @cached_property
    def seen(self) -> Sample:
        """The values that all fingerprints keep of the same rows."""
        kept = self.stack.stretches()
        return Sample(kept.values[np.asarray(self.members)], kept.bounds)

    @cached_property
    def dtypes(self) -> list[str]:
        """The narrowest type that holds each member's seen values."""
        stored = [self._stored(i) for i in range(self.count)]
        if not self.seen.values.size:
            return stored
        return [kept_dtype(v, d) for v, d in zip(self.seen.values, stored, strict=True)]

    @cached_property
    def noise(self) -> NDArray[np.float64]:
        """Variance of each bucket that comes from rounding: of the values in it, of their sums, and of the bucket."""
        out = np.zeros(self.sample.values.shape)
        for k, slot in enumerate(self.stack.slots):
            columns = self.sample.columns(k)
            width = max(1, columns.stop - columns.start)
            for i, dtype in enumerate(self.dtypes):
                fine = spacing(dtype) ** 2 + _summing(slot.size) * spacing("F32") ** 2
                out[i, columns] = np.nan_to_num(self.distances.norms[k, i]) * fine / 24 / width
        return out

    @cached_property
    def equal(self) -> NDArray[np.float32]:
        """1 where two models have a tensor of one digest, else 0; NaN where a model lacks it."""
        out = np.full((len(self.stack.slots), self.count, self.count), np.nan, np.float32)
        for k, slot in enumerate(self.stack.slots):
            here = [i for i in range(self.count) if self.stack.present[k, self.members[i]]]
            prints = [self.stack.models[self.members[i]].print for i in here]
            digests = np.array([p.digests[p.index[slot.name]] for p in prints])
            out[k][np.ix_(here, here)] = (digests[:, None] == digests[None, :]) & (digests[:, None] != "")
        return out

    @property
    def error(self) -> float:
        """Relative standard error of inner products of steps, over as many values as are kept of matrices."""
        return float(1 / np.sqrt(max(1, self.seen.values.shape[1])))

    @property
    def independent(self) -> NDArray[np.float64]:
        """The buckets that are kept of each slot."""
        return np.minimum(self.stack.widths, self.distances.sizes)

    def gather(self) -> Evidence:
        """Proofs that need no weights."""
        return gather_sketched(self)

    def adapter(self, i: int, j: int) -> LowRank | None:
        """The low-rank difference of what is kept of members i and j, where matrices alone were changed.

        That they alone changed is enough: a rank that is not low in what is kept may be so in the whole. Ranks are
        those of what is kept.
        """
        d2 = self.distances.squared[:, i, j]
        body = ~self.heads & np.array([s.is_matrix for s in self.stack.slots])
        changed = np.flatnonzero(body & (np.nan_to_num(self.equal[:, i, j], nan=1.0) < 1.0) & np.isfinite(d2))
        if not self.same_vectors[i, j] or not len(changed):
            return None
        ranks, nats, counted = {self.stack.slots[k].name: 0 for k in changed}, 0.0, True
        for k in changed:
            a, b = self.some_rows(i, j, int(k))
            if min(a.shape) < _ENOUGH_ROWS or np.array_equal(a, b):
                continue
            found = rank_of(a, b, self.dtypes[i], self.dtypes[j])
            if found is None:
                counted = False
            else:
                ranks[self.stack.slots[k].name] = found[0]
                nats += found[1]
        counted = counted and any(ranks.values())
        return LowRank(ranks, nats, counted) if counted or not all(s.is_matrix for s in self.stack.slots) else None

    def some_rows(self, i: int, j: int, k: int) -> tuple[Floats, Floats]:
        """The stretches that both fingerprints keep of slot k."""
        a, b = self.seen.values[[i, j], self.seen.columns(k)]
        width = max(1, self.stack.stretch(k))
        return a.reshape(-1, width), b.reshape(-1, width)

    def block(self, members: Sequence[int], k: int) -> Floats:
        """The stretches that all fingerprints keep of slot k, (members, rows, stretch)."""
        width = max(1, self.stack.stretch(k))
        return self.seen.values[np.asarray(members), self.seen.columns(k)].reshape(len(members), -1, width)

    def scaled(self, i: int, j: int) -> Scaled:
        """Rows that decay alone has touched between members i and j."""
        return scaled_rows(self, i, j, SEGMENT)


def _summing(size: int) -> float:
    """Rounding in a sketch of so many values, in that of the values themselves.

    Up to BLOCK_ROWS values are added up in float32: each sum of j values is rounded as j values would be. So is the
    bucket, which is stored as float32.
    """
    rows = min(BLOCK_ROWS, -(-size // WIDTH))
    return 1.0 + (rows + 1) / 2 - 1 / rows
