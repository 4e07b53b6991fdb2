"""Whether a model lies on a grid of few steps, and from whom it was rounded, by what its fingerprint keeps."""

from typing import TYPE_CHECKING

import numpy as np

from heritage.recovery.family import Proof
from heritage.recovery.precision import NARROW, spacing, ulp
from heritage.recovery.stack import Floats

if TYPE_CHECKING:
    from heritage.recovery.sketched_family import SketchedFamily

_NATS = 30.0
_FINE_GRID = 2e-3  # rounding to eight bits moves a model by less than this share of its squared norm
_LOOKED = 12  # values of a row in which a grid shows
_LEVELS = np.arange(3.0, 129.0)  # steps that the largest of a few values of a row may be away from zero
_TELLING = 6
_MOST = 0.6
_KEPT = 0.98


def rows_on_grid(values: Floats, dtype: str) -> float:
    """Share of the rows of `values` (rows, stretch) that lie on a grid of eight bits or fewer, each of its own."""
    v = values.astype(np.float64)
    step = np.abs(v).max(1, keepdims=True, initial=0.0)[:, :, None] / _LEVELS  # (rows, 1, candidates)
    safe = np.maximum(step, 1e-30)
    fine = ulp(values, dtype)[:, :, None]
    tolerance = 1.1 * fine + 1.1 * np.abs(v)[:, :, None] * _relative(dtype) + 1e-5 * safe
    telling = (tolerance < 0.25 * safe) & (v != 0)[:, :, None]
    off = np.abs(v[:, :, None] - np.round(v[:, :, None] / safe) * safe)
    fits = (~telling | (off <= tolerance)).all(1) & (telling.sum(1) >= _TELLING)
    return float(fits.any(1).mean()) if len(v) else 0.0


def _relative(dtype: str) -> float:
    """How far the largest value, off which steps are read, may have been rounded."""
    return spacing(dtype) / 2


def grid_slots(family: "SketchedFamily", i: int) -> tuple[set[int], set[int]]:
    """The matrices of member i that show a grid, and those that were looked at, heads apart."""
    p = family.stack.models[family.members[i]].print
    found: set[int] = set()
    looked: set[int] = set()
    for k in np.flatnonzero(family.present(i)).tolist():
        slot = family.stack.slots[k]
        if not slot.is_matrix or family.heads[k]:
            continue
        own, _ = family.some_rows(i, i, k)
        evidence = p.grids[p.place(slot.name)]
        if min(own.shape) >= _LOOKED:
            looked.add(k)
            if rows_on_grid(own, family.dtypes[i]) > _MOST:
                found.add(k)
        elif evidence.sample >= _LOOKED and family.dtypes[i] not in NARROW:
            looked.add(k)
            if evidence.levels:
                found.add(k)
    return found, looked


def quantisations(family: "SketchedFamily", grids: list[tuple[set[int], set[int]]]) -> list[Proof]:
    """Members most of whose matrices lie on a grid, with the nearest member off it that is equal everywhere else."""
    total = np.nansum(family.distances.squared, axis=0)
    norm = np.nansum(family.distances.norms, axis=0)
    found = []
    for c, (slots, looked) in enumerate(grids):
        most = _MOST * len(looked)
        if not slots or len(slots) <= most:
            continue
        near = [p for p in range(family.count) if family.same_vectors[p, c] and len(grids[p][0]) <= most]
        p = min(near, key=lambda i, c=c: total[i, c], default=c)  # type: ignore[misc]
        if p != c and total[p, c] < _FINE_GRID * norm[c] and _equal(family, p, c, looked - slots):
            found.append(Proof("quantize", (p,), c, _NATS, "grid"))
    return found


def _equal(family: "SketchedFamily", p: int, c: int, slots: set[int]) -> bool:
    """Whether the matrices of c off the grid are those of p: a model that was trained on leaves the grid in some."""
    if family.dtypes[c] in NARROW:
        return True  # a coarse type may hide the grid of a matrix
    for k in slots.intersection(family.shared(p, c)):
        a, b = family.some_rows(p, c, k)
        if family.equal[k, p, c] < 1.0 and not (a.size and np.mean(a == b) > _KEPT):
            return False
    return True
