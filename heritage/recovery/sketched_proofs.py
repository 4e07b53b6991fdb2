"""Proofs from fingerprints alone: from sketches, from counts, and from the values that fingerprints keep."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.direction import Traits
from heritage.recovery.evidence import Evidence, acyclic
from heritage.recovery.family import Family, Proof
from heritage.recovery.precision import NARROW, rounding_variance, spacing
from heritage.recovery.proofs.linear import clouds_of, merges, suspects
from heritage.recovery.proofs.ties import ties_merges
from heritage.recovery.sketched_grid import grid_slots, quantisations
from heritage.weights.fingerprint import Fingerprint

if TYPE_CHECKING:
    from heritage.recovery.sketched_family import SketchedFamily

_NATS = 30.0
_SLACK = 4.0  # in standard errors of a sketched distance
_ENOUGH = 200  # values that tell whether one model's entries are another one's
_KEPT = 0.995


def gather_sketched(family: "SketchedFamily") -> Evidence:
    """All proofs of a family of fingerprints. A child has at most one proof with one parent."""
    zeros, grids = _zeros(family), [grid_slots(family, i) for i in range(family.count)]
    single: dict[int, Proof] = {}
    for proof in [*_recasts(family), *quantisations(family, grids), *_prunings(family, zeros)]:
        single.setdefault(proof.child, proof)
    found = _merges(family, frozenset(single))
    edges = acyclic(single, found)
    proved = np.isin(np.arange(family.count), [p.child for p in edges])
    on_grid = np.array([len(slots) > 0 for slots, _ in grids], bool)
    return Evidence(tuple(edges), tuple(found), Traits(_batches(family), zeros, on_grid, proved))


def _merges(family: "SketchedFamily", single: frozenset[int]) -> list[Proof]:
    """Combinations from sketches, TIES merges from the values that are kept."""
    noise = np.stack([rounding_variance(v, d) for v, d in zip(family.seen.values, family.dtypes, strict=True)])
    found: list[Proof] = []
    for cloud, entries in zip(clouds_of(family), clouds_of(family, family.seen, noise), strict=True):
        between = {m: g for m, g in suspects(cloud).items() if cloud.members[m] not in single}
        linear = merges(cloud, between)
        found += [cloud.named(p) for p in linear]
        if entries.raw.shape[1] >= _ENOUGH:
            explained = [i for i, member in enumerate(cloud.members) if member in single] + [p.child for p in linear]
            found += [entries.named(p) for p in ties_merges(family, entries, explained)]
    return found


def _prints(family: "SketchedFamily") -> list[Fingerprint]:
    return [family.stack.models[i].print for i in family.members]


def _zeros(family: "SketchedFamily") -> NDArray[np.float64]:
    out = []
    for p in _prints(family):
        matrix = np.array([len(s) > 1 for s in p.shapes])
        out.append(p.zeros[matrix].sum() / max(1, p.sizes[matrix].sum()))
    return np.array(out, np.float64)


def _batches(family: "SketchedFamily") -> NDArray[np.float64]:
    return np.array([max(p.counters.values(), default=np.nan) for p in _prints(family)], np.float64)


def _total(family: Family) -> NDArray[np.float64]:
    return np.asarray(np.nansum(family.distances.squared, axis=0))


def _both(family: "SketchedFamily", p: int, c: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The values kept of both members, p's in c's type."""
    a, b = family.seen.values[p], family.seen.values[c]
    both = np.isfinite(a) & np.isfinite(b)
    dtype = family.dtypes[c]
    a = NARROW[dtype](a) if dtype in NARROW and family.dtypes[p] != dtype else a
    return a[both], b[both]


def _recasts(family: "SketchedFamily") -> list[Proof]:
    total, norm = _total(family), np.nansum(family.distances.norms, axis=0)
    found = []
    for c, dtype in enumerate(family.dtypes):
        if dtype in NARROW:
            near = [p for p in range(family.count) if p != c and family.dtypes[p] not in NARROW]
            p = min(near, key=lambda i: total[i, c], default=c)
            if p != c and total[p, c] < norm[c] * spacing(dtype) ** 2 / 12 and np.array_equal(*_both(family, p, c)):
                found.append(Proof("copy", (p,), c, _NATS, f"rounded to {dtype}"))
    return found


def _prunings(family: "SketchedFamily", zeros: NDArray[np.float64]) -> list[Proof]:
    """Where c is p with entries at zero, |p - c|^2 = |p|^2 - |c|^2, and what is left of c are p's values."""
    total, norm = _total(family), np.nansum(family.distances.norms, axis=0)
    error = _SLACK * np.sqrt(2 / max(1, family.sample.values.shape[1]))
    found = []
    for c in np.flatnonzero(zeros > 0.02).tolist():
        for p in np.argsort(zeros, kind="stable").tolist():
            if zeros[p] > zeros[c] - 0.02 or not family.same_vectors[p, c]:
                continue
            a, b = _both(family, p, c)
            kept = (a == b)[b != 0]
            if kept.size >= _ENOUGH and kept.mean() < _KEPT:
                continue
            if abs(total[p, c] - (norm[p] - norm[c])) < error * total[p, c]:
                found.append(Proof("prune", (int(p),), int(c), _NATS, "norms", {"zeros": round(float(zeros[c]), 4)}))
                break
    return found
