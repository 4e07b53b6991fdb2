"""Fingerprints of one architecture side by side: sketches and kept values stand in for weights."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.architecture import Signature, Slot, signature
from heritage.recovery.distance import Distances
from heritage.recovery.layers import chosen
from heritage.recovery.sample import Sample
from heritage.recovery.stack import Floats
from heritage.weights.fingerprint import Fingerprint
from heritage.weights.sketch import fold


@dataclass(frozen=True, eq=False)
class PrintedModel:
    """One model by its fingerprint."""

    name: str
    print: Fingerprint

    @cached_property
    def signature(self) -> Signature:
        """Its slots and buffers."""
        p = self.print
        floats = {"F64", "F32", "F16", "BF16"}
        return signature({n: (s, d in floats) for n, s, d in zip(p.names, p.shapes, p.dtypes, strict=True)})


@dataclass(eq=False)
class SketchStack:
    """Fingerprints of one architecture side by side: what `Stack` is for weights, with sketches as values."""

    models: Sequence[PrintedModel]
    slots: tuple[Slot, ...]
    present: NDArray[np.bool_]

    @cached_property
    def widths(self) -> list[int]:
        """Buckets of each slot: the smallest number that any model keeps."""
        return [
            min(int(m.print.widths[m.print.index[s.name]]) for m, here in zip(self.models, row, strict=True) if here)
            for s, row in zip(self.slots, self.present, strict=True)
        ]

    @property
    def streams(self) -> bool:
        """Never: fingerprints are small."""
        return False

    def tiles(self, k: int, members: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """The sketches of slot k in one piece."""
        yield 0, np.stack([self.values(i, k) for i in members])

    def picked(self, k: int, members: Sequence[int], places: NDArray[np.int64]) -> Floats:
        """Buckets `places` of the sketches of slot k."""
        return np.stack([self.values(i, k) for i in members])[:, places]

    def values(self, i: int, k: int) -> Floats:
        """The sketch of slot k of model i."""
        own = self.models[i].print.own_sketch(self.slots[k].name).astype(np.float64)
        return fold(own, self.widths[k]).astype(np.float32)

    @cached_property
    def _segments(self) -> list[NDArray[np.int64]]:
        """Places of the stretches of each slot that all models keep which have it: (rows, stretch)."""
        out = []
        for k, slot in enumerate(self.slots):
            kept = [self.models[i].print.stretch_places(slot.name) for i in np.flatnonzero(self.present[k]).tolist()]
            out.append(min(kept, key=len)[:, : min(p.shape[1] for p in kept)])
        return out

    def stretch(self, k: int) -> int:
        """Neighbours in one stretch of slot k; 0 where none are kept."""
        return int(self._segments[k].shape[1])

    def stretches(self) -> Sample:
        """The values that all models keep, one row a model; NaN where it lacks the slot."""
        bounds = np.concatenate([[0], np.cumsum([s.size for s in self._segments])]).astype(np.int64)
        values = np.full((len(self.models), int(bounds[-1])), np.nan, np.float32)
        for k, (slot, places) in enumerate(zip(self.slots, self._segments, strict=True)):
            for i in np.flatnonzero(self.present[k]).tolist() if places.size else ():
                p = self.models[i].print
                common = np.isin(p.stretch_places(slot.name)[:, 0], places[:, 0])
                kept = p.stretches(slot.name)[common, : places.shape[1]]
                values[i, bounds[k] : bounds[k + 1]] = kept.reshape(-1)
        return Sample(values, bounds)

    def dtype(self, i: int, k: int) -> str:
        """The stored type of slot k in model i."""
        p = self.models[i].print
        return p.dtypes[p.index[self.slots[k].name]]


def sketch_stack(models: Sequence[PrintedModel], layers: str = "all") -> SketchStack:
    """The stack of `models` with the slots of `layers`; slots for which no sketch was kept are left out."""
    counts: dict[Slot, int] = {}
    for m in models:
        for s in m.signature.slots:
            kept = m.print.widths[m.print.index[s.name]] > 0
            counts[s] = counts.get(s, 0) + int(kept) if kept else -len(models)
    shared = sorted((s for s, n in counts.items() if n > 1 or (n == len(models) == 1)), key=lambda s: (s.name, s.shape))
    shared = chosen(shared, layers)
    present = np.array([[s in m.signature.slots for m in models] for s in shared], bool).reshape(-1, len(models))
    return SketchStack(models, tuple(shared), present)


def twins_of(stack: SketchStack, _: NDArray[np.float32]) -> list[list[int]]:
    """Groups of two or more models of equal values: equal digests of all tensors, or equal sketches and moments."""
    alike: dict[bytes, list[int]] = {}
    for i, m in enumerate(stack.models):
        p = m.print
        shape = repr([(n, s) for n, s in zip(p.names, p.shapes, strict=True)]).encode()
        alike.setdefault(shape + p.own_sketches.tobytes() + p.moments.squares.tobytes(), []).append(i)
    return [members for members in alike.values() if len(members) > 1]


def whole_sample(stack: SketchStack) -> Sample:
    """All sketches of all models as a sample."""
    bounds = np.concatenate([[0], np.cumsum(stack.widths)]).astype(np.int64)
    values = np.full((len(stack.models), int(bounds[-1])), np.nan, np.float32)
    for k in range(len(stack.slots)):
        for i in np.flatnonzero(stack.present[k]):
            values[i, bounds[k] : bounds[k + 1]] = stack.values(int(i), k)
    return Sample(values, bounds)


def with_exact_norms(distances: Distances, stack: SketchStack, members: Sequence[int]) -> Distances:
    """`distances` with squared norms and sums from the fingerprints' moments instead of from sketches."""
    norms, sums = np.full_like(distances.norms, np.nan), np.full_like(distances.sums, np.nan)
    for k, slot in enumerate(stack.slots):
        for row, i in enumerate(members):
            if stack.present[k, i]:
                moments, at = stack.models[i].print.moments, stack.models[i].print.index[slot.name]
                norms[k, row], sums[k, row] = moments.squares[at], moments.mean[at] * slot.size
    return Distances(distances.slots, distances.squared, norms, sums)
