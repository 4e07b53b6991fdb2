"""Log-likelihood ratios of the direction of edges, computed when asked for and kept."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from heritage.recovery import fitted
from heritage.recovery.direction import FEATURES, Looked, features, slot_classes
from heritage.recovery.evidence import Evidence
from heritage.recovery.family import Family
from heritage.recovery.filled import filled
from heritage.recovery.originals import Origins, origins
from heritage.recovery.proofs.lowrank import LowRank
from heritage.recovery.scaling import Scaled

PROVED = 30.0
_CUES_AT_MOST = 6.0
_RESIDUE_WEIGHT = 0.1  # entries of one residue are not independent


@dataclass(eq=False)
class Cues:
    """What tells parent from child in one family."""

    family: Family
    evidence: Evidence
    _adapters: dict[tuple[int, int], LowRank | None] = field(default_factory=dict)
    _ratios: dict[tuple[int, int], float] = field(default_factory=dict)

    def ratio(self, i: int, j: int) -> float:
        """Log-likelihood ratio of 'i is the parent of j' over 'j is the parent of i': proofs first, then cues."""
        if i > j:
            return -self.ratio(j, i)
        if (i, j) not in self._ratios:
            self._ratios[i, j] = self._measure(i, j)
        return self._ratios[i, j]

    def adapter(self, i: int, j: int) -> LowRank | None:
        """The low-rank difference of i < j, if it is one."""
        if (i, j) not in self._adapters:
            self._adapters[i, j] = self.family.adapter(i, j)
        return self._adapters[i, j]

    def features(self, i: int, j: int) -> NDArray[np.float64]:
        """The features of the pair, i as the parent; adapters are not searched for rows that only decayed."""
        scaled = self.family.scaled(i, j) if self.adapter(min(i, j), max(i, j)) is None else Scaled()
        looked = Looked(scaled, *self._filled(i, j))
        return features(self.family.distances, self.evidence.traits, self._classes, i, j, looked)

    def _filled(self, i: int, j: int) -> tuple[float, bool]:
        """Direction i to j by the zeros of one of them, and whether pruning lies between the two."""
        traits = self.evidence.traits
        sparser = traits.sparser(i, j)
        if not sparser:
            return 0.0, False
        sparse, dense = (i, j) if sparser > 0 else (j, i)
        found = filled(self.family, sparse, dense)
        # a grid has a step at zero, and its entries are near it in whatever was rounded
        direction = min(found.direction, 0.0) if traits.grid[sparse] else found.direction
        return sparser * direction, found.taken

    @cached_property
    def proved(self) -> set[tuple[int, int]]:
        """Edges (parent, child) that were proved."""
        return {(p, x.child) for x in (*self.evidence.edges, *self.evidence.merges) for p in x.parents}

    @cached_property
    def origins(self) -> Origins:
        """Which models were made from a rounded copy rather than from its original."""
        return origins(self.family, self.evidence)

    @cached_property
    def _classes(self) -> dict[str, NDArray[np.bool_]]:
        return slot_classes(self.family.distances)

    def _measure(self, i: int, j: int) -> float:
        if (i, j) in self.proved or (j, i) in self.proved:
            return PROVED if (i, j) in self.proved else -PROVED
        weights = np.array([fitted.WEIGHTS[f] for f in FEATURES])
        cues = float(np.clip(weights @ self.features(i, j), -_CUES_AT_MOST, _CUES_AT_MOST))
        adapter = self.adapter(i, j)
        if adapter is None:
            return cues
        return cues + float(np.clip(_RESIDUE_WEIGHT * adapter.nats, -PROVED, PROVED))
