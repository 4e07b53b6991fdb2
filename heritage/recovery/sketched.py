"""Fingerprints of one architecture side by side: sketches and kept values stand in for weights."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.architecture import Signature, Slot, signature
from heritage.recovery.distance import Distances
from heritage.recovery.layers import chosen
from heritage.recovery.sample import Sample
from heritage.recovery.stack import Floats
from heritage.weights.fingerprint import Fingerprint
from heritage.weights.sketch import fold


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What fingerprints of models with equal tensors share: slots, and where in the own sketches each one's lies."""

    signature: Signature
    spans: Mapping[Slot, tuple[int, int]]

    def width(self, slot: Slot) -> int:
        """Buckets that are kept of `slot`."""
        begin, end = self.spans[slot]
        return end - begin


@dataclass(frozen=True, eq=False)
class PrintedModel:
    """One model by its fingerprint."""

    name: str
    print: Fingerprint

    @cached_property
    def layout(self) -> Layout:
        """How its sketches are laid out; one object for all models with equal tensors."""
        p = self.print
        return _layout(p.names, p.shapes, p.dtypes, tuple(p.widths.tolist()))

    @property
    def signature(self) -> Signature:
        """Its slots and buffers."""
        return self.layout.signature


@lru_cache(maxsize=1024)
def _layout(
    names: tuple[str, ...], shapes: tuple[tuple[int, ...], ...], dtypes: tuple[str, ...], widths: tuple[int, ...]
) -> Layout:
    floats = {"F64", "F32", "F16", "BF16"}
    found = signature({n: (s, d in floats) for n, s, d in zip(names, shapes, dtypes, strict=True)})
    ends = np.cumsum(widths).tolist()
    spans = {Slot(n, s): (e - w, e) for n, s, w, e in zip(names, shapes, widths, ends, strict=True)}
    return Layout(found, {slot: spans[slot] for slot in found.slots})


@dataclass(eq=False)
class SketchStack:
    """Fingerprints of one architecture side by side: what `Stack` is for weights, with sketches as values."""

    models: Sequence[PrintedModel]
    slots: tuple[Slot, ...]
    present: NDArray[np.bool_]

    @cached_property
    def widths(self) -> list[int]:
        """Buckets of each slot: the smallest number that any model keeps."""
        layouts = {m.layout: None for m in self.models}
        return [min(x.width(s) for x in layouts if s in x.spans) for s in self.slots]

    @property
    def streams(self) -> bool:
        """Never: fingerprints are small."""
        return False

    def tiles(self, k: int, members: Sequence[int]) -> Iterator[tuple[int, Floats]]:
        """The sketches of slot k in one piece."""
        yield 0, self.rows(k, members)

    def picked(self, k: int, members: Sequence[int], places: NDArray[np.int64]) -> Floats:
        """Buckets `places` of the sketches of slot k."""
        return self.rows(k, members)[:, places]

    def values(self, i: int, k: int) -> Floats:
        """The sketch of slot k of model i."""
        return np.asarray(self.rows(k, [i])[0])

    def rows(self, k: int, members: Sequence[int]) -> Floats:
        """The sketches of slot k of `members`, one row each, in as many buckets as all models keep."""
        slot, width = self.slots[k], self.widths[k]
        out = np.empty((len(members), width), np.float32)
        for row, i in enumerate(members):
            begin, end = self.models[i].layout.spans[slot]
            own = self.models[i].print.own_sketches[begin:end]
            out[row] = own if end - begin == width else fold(own.astype(np.float64), width)
        return out

    @cached_property
    def _segments(self) -> list[NDArray[np.int64]]:
        """Places of the stretches of each slot that all models keep which have it: (rows, stretch)."""
        out = []
        for k, slot in enumerate(self.slots):
            kept = [self.models[i].print.stretch_places(slot.name) for i in np.flatnonzero(self.present[k]).tolist()]
            out.append(common_places(kept, slot.size // max(1, slot.shape[0] if slot.shape else 1)))
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
                common = np.isin(p.stretch_places(slot.name), places)
                values[i, bounds[k] : bounds[k + 1]] = p.stretches(slot.name)[common]
        return Sample(values, bounds)

    def dtype(self, i: int, k: int) -> str:
        """The stored type of slot k in model i."""
        p = self.models[i].print
        return p.dtypes[p.index[self.slots[k].name]]


def common_places(kept: Sequence[NDArray[np.int64]], columns: int) -> NDArray[np.int64]:
    """The places that are in all of `kept`, each a block of (rows, stretch) of a matrix with so many columns."""
    first = kept[0]
    if all(p.shape == first.shape and np.array_equal(p[:, :1], first[:, :1]) for p in kept[1:]):
        return first
    if not all(p.size for p in kept):
        return np.zeros((0, 0), np.int64)
    rows = set.intersection(*(set((p[:, 0] // columns).tolist()) for p in kept))
    start = max(int(p[0, 0]) % columns for p in kept)
    end = min(int(p[0, -1]) % columns + 1 for p in kept)
    return np.array(sorted(rows), np.int64)[:, None] * columns + np.arange(start, max(start, end))


def sketch_stack(models: Sequence[PrintedModel], layers: str = "all") -> SketchStack:
    """The stack of `models` with the slots of `layers`; slots for which no sketch was kept are left out."""
    counts: dict[Slot, int] = {}
    for layout, several in Counter(m.layout for m in models).items():
        for s in layout.signature.slots:
            counts[s] = counts.get(s, 0) + (several if layout.width(s) else -len(models) * several)
    shared = sorted((s for s, n in counts.items() if n > 1 or (n == len(models) == 1)), key=lambda s: (s.name, s.shape))
    shared = chosen(shared, layers)
    has = {x: np.array([s in x.spans for s in shared], bool) for x in {m.layout: None for m in models}}
    present = np.stack([has[m.layout] for m in models], axis=1).reshape(-1, len(models))
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
        here = np.flatnonzero(stack.present[k])
        values[here, bounds[k] : bounds[k + 1]] = stack.rows(k, here.tolist())
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
