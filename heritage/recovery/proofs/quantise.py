"""Quantisation: the child's matrices lie on a grid of few steps, each entry the parent's nearest grid point."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.family import MOST_LOOKED_AT, Family, Proof
from heritage.recovery.precision import NARROW, ulp

_NATS = 30.0
_TOPS = (127.0, 7.0, 128.0, 8.0)
_STEPS = (255.0, 15.0)
_LEAST_TOP = 80  # steps that the largest of a quarter million entries is away from zero, if the largest of all is 127
_FEW = 24
_FIRST = 1024  # values of a row that tell whether a step is worth trying
_MOSTLY = 0.6  # share of a quantised model's matrix entries that must show a grid


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The grid of one slot: `step` (rows, 1) or (1, 1), found 'tensor', 'row' or 'column' wise."""

    step: NDArray[np.float64]
    axis: str


def grids(family: Family) -> list[dict[int, Grid]]:
    """For each member, the grids of its matrices by slot; {} for a model that was not quantised."""
    slots = sorted(
        (k for k, s in enumerate(family.stack.slots) if s.is_matrix), key=lambda k: -family.stack.slots[k].size
    )
    found: list[dict[int, Grid]] = []
    for i in range(family.count):
        here = [k for k in slots if family.stack.present[k, family.members[i]]]
        grid_of = {}
        for position, k in enumerate(here):
            grid = _grid(family, i, k)
            if grid is not None:
                grid_of[k] = grid
            elif position >= 1 and not grid_of:
                break  # neither of the two largest matrices lies on a grid
        found.append(grid_of)
    return found


def _grid(family: Family, i: int, k: int) -> Grid | None:
    slot, dtype = family.stack.slots[k], family.dtypes[i]
    columns = slot.size // slot.shape[0]
    if slot.size > MOST_LOOKED_AT:
        rows = min(slot.shape[0], _first_rows(columns) + -(-_FIRST // columns))
        some = family.stack.picked(k, [family.members[i]], np.arange(rows * columns))[0]
        if _ruled_out(some.reshape(rows, columns), dtype):
            return None
    matrix = family.some_values(i, k).reshape(-1, columns)
    return find_grid(matrix, dtype, matrix.size < slot.size)


def _ruled_out(rows: NDArray[np.float32], dtype: str) -> bool:
    """Whether the first rows of a large matrix show that `find_grid` would find none in a part of it."""
    if not _many_levels(rows.reshape(1, -1)[:, :_FIRST], dtype):
        return False
    few = rows[: _first_rows(rows.shape[1])]
    return rows.shape[1] < 4 or not _promising(few[:, :_FIRST], _candidates(few, False), dtype)


def _first_rows(columns: int) -> int:
    return max(2, 512 // columns)


def find_grid(matrix: NDArray[np.float32], dtype: str, partial: bool = False) -> Grid | None:
    """The grid on which all entries of `matrix` lie within the rounding of `dtype`, or None.

    Of a `partial` matrix the rows are whole, but its largest entry need not be the tensor's.
    """
    if matrix.size < 64 or not matrix.any():
        return None
    for axis, view in (("tensor", matrix.reshape(1, -1)), ("row", matrix), ("column", matrix.T)):
        if axis != "tensor" and view.shape[1] < 4:
            continue
        first = view[: _first_rows(view.shape[1])][:, :_FIRST]
        if (partial and axis == "column") or (axis == "tensor" and _many_levels(first, dtype)):
            continue
        candidates = _candidates(view, partial and axis == "tensor")
        for c in _promising(first, [step[: len(first)] for step in candidates], dtype):
            step = _refined(view, candidates[c]) if dtype in NARROW else candidates[c]
            if _lies_on(view, step, dtype):
                return Grid(step if axis != "column" else step.T, axis)
    return None


def _promising(first: NDArray[np.float32], steps: list[NDArray[np.float64]], dtype: str) -> list[int]:
    """Which of `steps`, as they are read off rounded extremes, may fit the few values of `first`."""
    safe = np.maximum(np.stack(steps), 1e-30)
    tolerance = 1.1 * ulp(first, dtype) + (1e-5 if dtype not in NARROW else 0.1) * safe + 2e-6 * np.abs(first)
    telling = tolerance < 0.25 * safe
    off = np.abs(first - np.round(first / safe) * safe) <= tolerance
    count = telling.sum((1, 2))
    return np.flatnonzero((count >= 24) & ((off & telling).sum((1, 2)) > 0.9 * count)).tolist()


def _many_levels(first: NDArray[np.float32], dtype: str) -> bool:
    """Whether there are more different values than a grid of eight bits has; coarse types have few anyway."""
    return dtype not in NARROW and len(np.unique(first)) > 256


def _candidates(view: NDArray[np.float32], partial: bool) -> list[NDArray[np.float64]]:
    top = np.abs(view).max(1, keepdims=True).astype(np.float64)
    spread = (view.max(1, keepdims=True).astype(np.float64) - view.min(1, keepdims=True)) / 1.0
    if partial:
        return [top / t for t in range(_LEAST_TOP, 129)]
    return [top / t for t in _TOPS] + [spread / s for s in _STEPS]


def _refined(view: NDArray[np.float32], step: NDArray[np.float64]) -> NDArray[np.float64]:
    """`step` by least squares over entries of few steps: one that was read off a rounded extreme is too rough."""
    for _ in range(2):
        count = np.round(view / np.maximum(step, 1e-30))
        count[np.abs(count) > _FEW] = 0
        step = np.sum(view * count, axis=1, keepdims=True) / np.maximum(np.sum(count**2, axis=1, keepdims=True), 1.0)
    return np.asarray(step, np.float64)


def _lies_on(view: NDArray[np.float32], step: NDArray[np.float64], dtype: str) -> bool:
    """Whether entries are whole multiples of `step`, within rounding; only entries fine enough to tell are asked."""
    safe = np.maximum(step, 1e-30)
    # half a spacing for the entry, and as much for the step, which was read off a rounded entry
    tolerance = 1.1 * ulp(view, dtype) + 1e-5 * safe + 2e-6 * np.abs(view)
    telling = tolerance < 0.25 * safe
    off = np.abs(view - np.round(view / safe) * safe)
    count = int(telling.sum())
    return count >= 48 and float((off <= tolerance)[telling].mean()) > 0.999 and count > 0.05 * view.size


def quantisations(family: Family, grid_of: list[dict[int, Grid]]) -> list[Proof]:
    """Members on a grid with the member they were rounded from: everything else equal, entries within half a step."""
    found = []
    for c, grid in enumerate(grid_of):
        if not grid:
            continue
        energy = sum(float((g.step**2).mean()) / 12 * family.stack.slots[k].size for k, g in grid.items())
        apart = family.distances.squared[list(grid), c]
        d2, lacking = np.nansum(apart, axis=0), np.isnan(apart).sum(0)  # one with another head is no nearer for it
        most = 1.6 * energy + _noise(family, c)
        near = [int(p) for p in np.lexsort((d2, lacking)) if p != c and 0.15 * energy < d2[p] < most]
        for p in near[:4]:
            if not _on_same_grid(grid_of[p], grid) and _within_half_a_step(family, p, c, grid):
                found.append(Proof("quantize", (p,), c, _NATS, "grid", {"axis": next(iter(grid.values())).axis}))
                break
    return found


def _on_same_grid(parent: dict[int, Grid], child: dict[int, Grid]) -> bool:
    """Whether a candidate lies on the child's own grid in some slot: then it is a sibling, or the child itself."""
    steps = [(parent[k].step, g.step) for k, g in child.items() if k in parent]
    return any(a.shape == b.shape and np.allclose(a, b, rtol=1e-3) for a, b in steps)


def _noise(family: Family, c: int) -> float:
    scale = sum(s.size for s in family.stack.slots) / max(1, family.sample.values.shape[1])
    return float(4.0 * np.nansum(family.noise[c]) * scale)


def _within_half_a_step(family: Family, p: int, c: int, grid: dict[int, Grid]) -> bool:
    size = {k: family.stack.slots[k].size for k in family.shared(p, c) if family.stack.slots[k].is_matrix}
    if sum(size.get(k, 0) for k in grid) < _MOSTLY * sum(size.values()):
        return False
    for k in family.shared(p, c):
        if k in size and k not in grid and family.dtypes[c] in NARROW:
            continue  # a coarse type may hide the grid of a tensor
        a, b = family.some_values(p, k), family.some_values(c, k)
        off = np.abs(a.astype(np.float64) - b)
        slack = 1.01 * (ulp(a, family.dtypes[p]) + ulp(b, family.dtypes[c]))
        half = np.zeros(1)
        if k in grid:
            columns = family.stack.slots[k].size // family.stack.slots[k].shape[0]
            rows = a.size // columns  # fewer than the tensor has, if it is large
            half = np.broadcast_to(0.502 * grid[k].step[:rows], (rows, columns)).reshape(-1)
        if float((off <= half + slack).mean()) < (0.985 if family.dtypes[c] in NARROW else 0.999):
            return False
    return True
