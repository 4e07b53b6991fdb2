"""TIES merges (arXiv 2306.01708): every entry is the base's, or moved by the mean of some parents' task vectors."""

from collections.abc import Collection
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.family import Family, Proof
from heritage.recovery.precision import ulp
from heritage.recovery.proofs.linear import Cloud

_NATS = 30.0
_POOL = 9
_SLACK = 4.0
_CLEAR = {2: 150.0, 3: 600.0}  # energy of the step over that of rounding: more targets fit more by chance
_LEAST_USE = 0.005
_LEAST_SHARED = 0.02
_SCREEN, _COLUMNS = 512, 2**15
_TELLING = 48

Matrix = NDArray[np.float64]


def ties_merges(family: Family, cloud: Cloud, explained: Collection[int]) -> list[Proof]:
    """Rows sought but not `explained` whose entries all agree with a TIES merge of two or three others over a base."""
    found = []
    for m in sorted(cloud.sought.difference(explained)):
        shared = shared_entries(family, cloud, m)
        if (shared > _LEAST_SHARED).sum() >= 3:  # a base and two parents
            found.append(_explain(cloud, m, shared))
    return [proof for proof in found if proof is not None]


def shared_entries(family: Family, cloud: Cloud, m: int) -> Matrix:
    """Share of entries of m that others have too, (n,), above what a smooth density of differences would give.

    Zeros do not count, nor do tensors that are equal as a whole: those are frozen, not merged.
    """
    most = max(_SCREEN, _COLUMNS // len(cloud.raw))
    columns = np.linspace(0, cloud.raw.shape[1] - 1, min(most, cloud.raw.shape[1])).astype(np.int64)
    raw, slot_of = cloud.raw[:, columns], cloud.slot_of[columns]
    dtype = family.dtypes[cloud.members[m]]
    width = ulp(raw[m], dtype) * (4.0 if dtype in ("F32", "F64") else 1.0)
    off = np.abs(raw - raw[m]) / width
    moved = (family.equal[slot_of, cloud.members[m], :][:, cloud.members].T < 1.0) & (raw[m] != 0)
    spike, around = (np.count_nonzero((off < o) & moved, axis=1) for o in (0.5, 1.5))
    share = (spike - 0.6 * (around - spike)) / np.maximum(np.count_nonzero(moved, axis=1), 1)
    share[m] = 0.0
    return np.asarray(share)


def _explain(cloud: Cloud, m: int, shared: Matrix) -> Proof | None:
    pool = np.argsort(-shared, kind="stable")[:_POOL].tolist()
    pool = [i for i in pool if shared[i] > 0.3 * _LEAST_SHARED]
    some = np.linspace(0, cloud.raw.shape[1] - 1, min(_SCREEN, cloud.raw.shape[1])).astype(np.int64)
    telling = _telling(cloud, m, pool, some)
    for count in (2, 3):
        tries = [t for t in _possible(cloud, m, pool, count, telling) if _is_clear(cloud, m, *t)]
        tries.sort(key=lambda t: _misfit(cloud, m, t[0], t[1], some))
        for base, parents in tries[:5]:
            if _misfit(cloud, m, base, parents) < _SLACK and _all_used(cloud, m, base, parents):
                return Proof("merge", tuple(parents), m, _NATS, "ties", base=base)
    return None


def _telling(cloud: Cloud, m: int, pool: list[int], some: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of the columns `some` in which m is farthest from all of `pool`: there most attempts fail."""
    gap = np.abs(cloud.raw[np.ix_(np.array(pool), some)] - cloud.raw[m, some]).min(0)
    return np.asarray(some[np.argsort(-gap, kind="stable")[:_TELLING]])


def _possible(
    cloud: Cloud, m: int, pool: list[int], count: int, columns: NDArray[np.int64]
) -> list[tuple[int, tuple[int, ...]]]:
    """Every base with `count` parents from `pool` whose misfit over `columns` alone is not too large already.

    The misfit over all columns is no smaller, so nothing is lost. All attempts are made at once.
    """
    if len(pool) <= count:
        return []
    tries = [(b, p) for b in range(len(pool)) for p in combinations([i for i in range(len(pool)) if i != b], count)]
    base, parents = np.array([b for b, _ in tries]), np.array([p for _, p in tries])
    raw, noise = cloud.raw[np.ix_(np.array(pool), columns)], cloud.noise[pool]
    step = raw[:, None] - raw[None, :]  # [i, b]: task vector of i over b
    goal = (cloud.raw[m, columns] - raw)[base]
    off = np.abs(goal)
    for size in range(1, count + 1):
        for chosen in combinations(range(count), size):
            vectors = step[parents[:, chosen], base[:, None]]
            np.minimum(off, np.abs(vectors.mean(1) - goal), out=off)
    rounding = cloud.noise[m] + noise[base] + noise[parents].mean(1)
    fits = np.flatnonzero((off**2).sum(1) < 2 * _SLACK * rounding).tolist()  # twice: sums are rounded, too
    return [(pool[tries[t][0]], tuple(pool[i] for i in tries[t][1])) for t in fits]


def _targets(raw: Matrix, base: int, parents: tuple[int, ...]) -> Matrix:
    """All values that an entry may take, (2^parents, s): the base, and the base plus the mean of some task vectors."""
    vectors = raw[list(parents)] - raw[base]
    rows = [np.zeros(raw.shape[1])]
    for size in range(1, len(parents) + 1):
        rows += [vectors[list(chosen)].mean(0) for chosen in combinations(range(len(parents)), size)]
    return np.asarray(raw[base] + np.stack(rows))


def _misfit(
    cloud: Cloud, m: int, base: int, parents: tuple[int, ...], columns: NDArray[np.int64] | slice = slice(None)
) -> float:
    """Energy of the distance to the nearest target, in units of rounding."""
    raw = cloud.raw[:, columns]
    off = np.abs(_targets(raw, base, parents) - raw[m]).min(0)
    noise = cloud.noise[m] + cloud.noise[base] + cloud.noise[list(parents)].mean()
    return float(np.sum(off**2) / noise * cloud.raw.shape[1] / raw.shape[1])


def _is_clear(cloud: Cloud, m: int, base: int, parents: tuple[int, ...]) -> bool:
    noise = cloud.noise[m] + cloud.noise[base] + cloud.noise[list(parents)].max()
    return all(np.sum((cloud.raw[x] - cloud.raw[m]) ** 2) > _CLEAR[len(parents)] * noise for x in (base, *parents))


def _all_used(cloud: Cloud, m: int, base: int, parents: tuple[int, ...]) -> bool:
    """Whether leaving out any parent leaves a share of entries unexplained."""
    whole = np.abs(_targets(cloud.raw, base, parents) - cloud.raw[m]).min(0)
    step = np.abs(cloud.raw[m] - cloud.raw[base])
    for gone in parents:
        rest = tuple(p for p in parents if p != gone)
        off = np.abs(_targets(cloud.raw, base, rest) - cloud.raw[m]).min(0)
        if float((off > 3 * whole + 0.1 * step).mean()) < _LEAST_USE:
            return False
    return True
