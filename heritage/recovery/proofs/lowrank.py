"""Merged adapters: the difference of two models has low rank, and what is left is the rounding of the child."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.family import Family
from heritage.recovery.precision import rounding_variance

_MOST_SLOTS = 6
_SKETCH_FROM, _SKETCH = 256, 96
_SLACK = 3.0
_LEAST_REST, _GAP = 3, 10.0

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LowRank:
    """`ranks` by slot name; `nats` is the log-likelihood ratio that the first model is the parent (0 if silent).

    Where the ranks are not all `counted`, they are too small.
    """

    ranks: dict[str, int]
    nats: float
    counted: bool = True


def low_rank(family: Family, p: int, c: int) -> LowRank | None:
    """The ranks of c - p where every changed matrix outside the head has a low one and nothing else changed, else None.

    A rank is low if at most half of what is possible, with the energy beyond it at the level of rounding.
    """
    if not family.same_vectors[p, c]:
        return None
    changed = _changed(family, p, c)
    ranks, nats = {}, 0.0
    for k in changed[:_MOST_SLOTS]:
        rows = family.stack.slots[k].shape[0]
        a, b = (family.values(i, k).reshape(rows, -1) for i in (p, c))
        found = rank_of(a, b, family.dtypes[p], family.dtypes[c])
        if found is None:
            return None
        if found[0]:
            ranks[family.stack.slots[k].name] = found[0]
            nats += found[1]
    return LowRank(ranks, nats) if ranks else None


def rank_of(a: NDArray[np.float32], b: NDArray[np.float32], pa: str, pb: str) -> tuple[int, float] | None:
    """Rank of b - a and the log-likelihood ratio that b was rounded; None if the rank is not low.

    `pa` and `pb` are the types of the matrices a and b.
    """
    found = _rank(a, b, pa, pb)
    if found is None:
        return None
    rank, residue = found
    return rank, 0.0 if residue is None or not rank else _direction(residue, a, b, pa, pb)


def _changed(family: Family, p: int, c: int) -> list[int]:
    """The matrices that changed, heads apart, in the order of slots: ranks of several pairs are those of the same."""
    d2 = family.distances.squared[:, p, c]
    matrix = np.array([s.is_matrix for s in family.stack.slots]) & ~family.heads
    with np.errstate(invalid="ignore"):
        return np.flatnonzero(matrix & (family.equal[:, p, c] < 1.0) & (d2 > 0)).tolist()


def _rank(a: NDArray[np.float32], b: NDArray[np.float32], pa: str, pb: str) -> tuple[int, Matrix | None] | None:
    """Rank of b - a and what it leaves over; (rank, None) for large matrices; None if the rank is not low."""
    difference = b.astype(np.float64) - a
    rounding = float(np.mean((rounding_variance(a, pa) + rounding_variance(b, pb)) / 2))
    noise = rounding + _of_product(difference)
    low = min(difference.shape) // 2
    if min(difference.shape) > _SKETCH_FROM:
        return _sketched_rank(difference, noise)
    u, s, vt = np.linalg.svd(difference, full_matrices=False)
    beyond = np.append(np.cumsum(s[::-1] ** 2)[::-1], 0.0)
    m, n = difference.shape
    left = (m - np.arange(len(beyond))) * (n - np.arange(len(beyond)))
    rank = int(np.argmax(beyond <= _SLACK * noise * left + 1e-30))
    if rank == low < 4 or (rank > low and not _gap(s, rank)):
        return None
    residue = difference - (u[:, :rank] * s[:rank]) @ vt[:rank]
    return rank, residue if beyond[rank] <= 1.5 * rounding * left[rank] else None  # else it is not the stored side's


def _gap(singular: NDArray[np.float64], rank: int) -> bool:
    """Whether singular values fall away after `rank` of them, though that are more than half of what is possible."""
    rest = singular[rank:]
    return len(rest) >= _LEAST_REST and float(singular[rank - 1]) > _GAP * float(rest[0])


def _sketched_rank(difference: Matrix, noise: float) -> tuple[int, None] | None:
    m, n = difference.shape
    probe = np.random.default_rng(0).normal(size=(n, _SKETCH))
    s = np.linalg.svd(np.linalg.qr(difference @ probe, mode="r"), compute_uv=False)
    beyond = np.append(np.cumsum(s[::-1] ** 2)[::-1], 0.0)
    left = noise * n * (m - np.arange(len(beyond))) * np.maximum(_SKETCH - np.arange(len(beyond)), 0)
    rank = int(np.argmax(beyond <= _SLACK * left + 1e-30))
    return (rank, None) if rank < _SKETCH - 16 else None


def _of_product(step: Matrix) -> float:
    """Variance of the rounding of the product of an adapter's factors, which is float32 at best."""
    return float(np.mean(step**2)) * 2.0**-46


def _direction(residue: Matrix, a: NDArray[np.float32], b: NDArray[np.float32], pa: str, pb: str) -> float:
    """Log-likelihood ratio of 'b was rounded' over 'a was rounded', from entries whose exponents differ.

    No error is smaller than that of the product of the adapter's factors.
    """
    va, vb = rounding_variance(a, pa), rounding_variance(b, pb)
    told = va != vb
    floor = _of_product(b.astype(np.float64) - a)
    e, va, vb = residue[told] ** 2, va[told] + floor, vb[told] + floor
    return float(0.5 * np.sum(np.clip(e / va + np.log(va) - e / vb - np.log(vb), -20.0, 20.0)))
