"""Pruning: the child is its parent with some entries at zero and nothing else changed."""

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.family import Family, Proof

_NATS = 30.0
_MORE_ZEROS = 0.02
_KEPT = 0.995


def zero_shares(family: Family) -> NDArray[np.float64]:
    """Share of exact zeros among each member's sampled matrix entries, shape (n,)."""
    v = family.sample.values[:, family.matrix_columns]
    return np.asarray((v == 0).sum(1) / np.maximum(np.isfinite(v).sum(1), 1))


def prunings(family: Family) -> list[Proof]:
    """Members that equal another one on their support, with more zeros than it; one proof a child.

    A sample proposes, the full weights decide. Where several models fit (a chain of prunings cannot be told from
    several prunings of one model), the densest is named.
    """
    zeros = zero_shares(family)
    found = []
    for c in np.flatnonzero(zeros > _MORE_ZEROS):
        denser = [int(p) for p in np.argsort(zeros, kind="stable") if zeros[p] < zeros[c] - _MORE_ZEROS]
        for p in denser:
            if _sampled(family, p, int(c)) and _contained(family, p, int(c)):
                share = {"zeros": round(float(zeros[c]), 4)}
                found.append(Proof("prune", (p,), int(c), _NATS, "mask", share))
                break
    return found


def _sampled(family: Family, p: int, c: int) -> bool:
    a, b = family.sample.values[p], family.sample.values[c]
    support = (b != 0) & np.isfinite(a) & np.isfinite(b)
    return bool(support.any()) and _agree(family, p, c, a[support], b[support]) >= _KEPT


def _contained(family: Family, p: int, c: int) -> bool:
    kept = total = 0.0
    for k in family.shared(p, c):
        a, b = family.some_values(p, k), family.some_values(c, k)
        support = b != 0
        kept += _agree(family, p, c, a[support], b[support]) * support.sum()
        total += support.sum()
    return total > 0 and kept >= _KEPT * total


def _agree(family: Family, p: int, c: int, a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Share of values that agree; exactly, or after rounding where the types differ."""
    from heritage.recovery.precision import NARROW

    dtype = family.dtypes[c]
    if dtype in NARROW and family.dtypes[p] != dtype:
        a = NARROW[dtype](a)
    return float((a == b).mean()) if len(a) else 1.0
