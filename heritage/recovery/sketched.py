"""Recovery from fingerprints alone: sketches stand in for values, digests for equality, counts for masks and grids."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.architecture import Signature, Slot, signature
from heritage.recovery.direction import Traits
from heritage.recovery.distance import Distances
from heritage.recovery.evidence import Evidence, acyclic
from heritage.recovery.family import Family, Proof
from heritage.recovery.precision import NARROW, spacing
from heritage.recovery.proofs.linear import clouds_of, merges, suspects
from heritage.recovery.proofs.lowrank import LowRank
from heritage.recovery.sample import Sample
from heritage.recovery.scaling import Scaled
from heritage.recovery.stack import Floats
from heritage.weights.fingerprint import Fingerprint
from heritage.weights.sketch import fold

_NATS = 30.0
_SLACK = 4.0  # in standard errors of a sketched distance
_FINE_GRID = 2e-3  # rounding to eight bits moves a model by less than this share of its squared norm


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

    def dtype(self, i: int, k: int) -> str:
        """The stored type of slot k in model i."""
        p = self.models[i].print
        return p.dtypes[p.index[self.slots[k].name]]


def sketch_stack(models: Sequence[PrintedModel]) -> SketchStack:
    """The stack of `models`; slots for which no sketch was kept are left out."""
    counts: dict[Slot, int] = {}
    for m in models:
        for s in m.signature.slots:
            kept = m.print.widths[m.print.index[s.name]] > 0
            counts[s] = counts.get(s, 0) + int(kept) if kept else -len(models)
    shared = sorted((s for s, n in counts.items() if n > 1 or (n == len(models) == 1)), key=lambda s: (s.name, s.shape))
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


class SketchedFamily(Family):
    """A family of fingerprints."""

    stack: SketchStack

    @cached_property
    def dtypes(self) -> list[str]:
        """The type that holds most of each member."""
        largest = [
            max(np.flatnonzero(self.present(i)), key=lambda k: self.stack.slots[k].size) for i in range(self.count)
        ]
        return [self.stack.dtype(self.members[i], int(k)) for i, k in enumerate(largest)]

    @cached_property
    def noise(self) -> NDArray[np.float64]:
        """Variance of each bucket that comes from the rounding of the values in it."""
        out = np.zeros(self.sample.values.shape)
        for i, dtype in enumerate(self.dtypes):
            for k in range(len(self.stack.slots)):
                columns = self.sample.columns(k)
                width = max(1, columns.stop - columns.start)
                out[i, columns] = np.nan_to_num(self.distances.norms[k, i]) * spacing(dtype) ** 2 / 24 / width
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

    def gather(self) -> Evidence:
        """Proofs that need no weights."""
        return _gather(self)

    def adapter(self, i: int, j: int) -> LowRank | None:
        """What is changed in matrices only counts as an adapter, of unknown rank and without direction."""
        d2 = self.distances.squared[:, i, j]
        body = ~self.heads & np.array([s.is_matrix for s in self.stack.slots])
        changed = body & (np.nan_to_num(self.equal[:, i, j], nan=1.0) < 1.0) & np.isfinite(d2)
        if not self.same_vectors[i, j] or not changed.any():
            return None
        return LowRank({self.stack.slots[k].name: 0 for k in np.flatnonzero(changed)}, 0.0)

    def scaled(self, i: int, j: int) -> Scaled:  # noqa: ARG002 - nothing to look at
        """Rows are not in fingerprints."""
        return Scaled()


def _gather(family: SketchedFamily) -> Evidence:
    zeros, grid = _zeros(family), _grid(family)
    single: dict[int, Proof] = {}
    for proof in [*_recasts(family), *_quantisations(family, grid), *_prunings(family, zeros)]:
        single.setdefault(proof.child, proof)
    found = []
    for cloud in clouds_of(family):
        between = {m: g for m, g in suspects(cloud).items() if cloud.members[m] not in single}
        found += [cloud.named(p) for p in merges(cloud, between)]
    edges = acyclic(single, found)
    proved = np.isin(np.arange(family.count), [p.child for p in edges])
    return Evidence(tuple(edges), tuple(found), Traits(_batches(family), zeros, grid, proved))


def _prints(family: SketchedFamily) -> list[Fingerprint]:
    return [family.stack.models[i].print for i in family.members]


def _zeros(family: SketchedFamily) -> NDArray[np.float64]:
    out = []
    for p in _prints(family):
        matrix = np.array([len(s) > 1 for s in p.shapes])
        out.append(p.zeros[matrix].sum() / max(1, p.sizes[matrix].sum()))
    return np.array(out, np.float64)


def _grid(family: SketchedFamily) -> NDArray[np.bool_]:
    """Models most of whose matrices show a grid."""
    out = []
    for p in _prints(family):
        looked = [g for g in p.grids if g.sample >= 12]
        out.append(bool(looked) and sum(g.levels > 0 for g in looked) > 0.6 * len(looked))
    return np.array(out, bool)


def _batches(family: SketchedFamily) -> NDArray[np.float64]:
    return np.array([max(p.counters.values(), default=np.nan) for p in _prints(family)], np.float64)


def _total(family: Family) -> NDArray[np.float64]:
    return np.asarray(np.nansum(family.distances.squared, axis=0))


def _recasts(family: Family) -> list[Proof]:
    total, norm = _total(family), np.nansum(family.distances.norms, axis=0)
    found = []
    for c, dtype in enumerate(family.dtypes):
        if dtype in NARROW:
            near = [p for p in range(family.count) if p != c and family.dtypes[p] not in NARROW]
            p = min(near, key=lambda i: total[i, c], default=c)
            if p != c and total[p, c] < norm[c] * spacing(dtype) ** 2 / 12:
                found.append(Proof("copy", (p,), c, _NATS, f"rounded to {dtype}"))
    return found


def _quantisations(family: Family, grid: NDArray[np.bool_]) -> list[Proof]:
    total, norm = _total(family), np.nansum(family.distances.norms, axis=0)
    found = []
    for c in np.flatnonzero(grid):
        near = [p for p in range(family.count) if family.same_vectors[p, c] and not grid[p]]
        p = min(near, key=lambda i: total[i, c], default=int(c))
        if p != c and total[p, c] < _FINE_GRID * norm[c]:
            found.append(Proof("quantize", (p,), int(c), _NATS, "grid"))
    return found


def _prunings(family: Family, zeros: NDArray[np.float64]) -> list[Proof]:
    """Where c is p with entries at zero, |p - c|^2 = |p|^2 - |c|^2."""
    total, norm = _total(family), np.nansum(family.distances.norms, axis=0)
    error = _SLACK * np.sqrt(2 / max(1, family.sample.values.shape[1]))
    found = []
    for c in np.flatnonzero(zeros > 0.02):
        for p in np.argsort(zeros, kind="stable"):
            if zeros[p] > zeros[c] - 0.02 or not family.same_vectors[p, c]:
                continue
            if abs(total[p, c] - (norm[p] - norm[c])) < error * total[p, c]:
                found.append(Proof("prune", (int(p),), int(c), _NATS, "norms", {"zeros": round(float(zeros[c]), 4)}))
                break
    return found
