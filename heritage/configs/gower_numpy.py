"""The distance kernels in plain numpy: the fallback where numba is absent, with the same results."""

import numpy as np
from numpy.typing import NDArray

RATIO, LINEAR, MATCH = 0, 1, 2
Floats = NDArray[np.float32]
# values, reciprocals (where ratios are taken) and presence, each (fields, n)
Arrays = tuple[Floats, Floats, Floats]
# kinds, weights, whether missing is a state, fields that must be shared, distance of pairs that share too little
Rule = tuple[NDArray[np.int64], Floats, np.float32, np.float32, np.float32]
_ROWS = 64


def distance_rows(right: Arrays, left: Arrays, rule: Rule, rows: NDArray[np.int64], out: Floats) -> None:
    """Write to `out` (len(rows), n) the distances of `rows` of `left` to all columns of `right`."""
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        out[start : start + len(part)] = _distances(right, left, rule, part)


def _distances(right: Arrays, left: Arrays, rule: Rule, rows: NDArray[np.int64]) -> Floats:
    kinds, weights, state, least, nothing = rule
    shape = (len(rows), right[0].shape[1])
    num, den, cnt = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for f, kind in enumerate(kinds):
        vi, vj = left[2][f, rows][:, None], right[2][f][None, :]
        both = vi * vj
        either = state * (vi + vj - 2 * both)
        num += weights[f] * (both * _delta(int(kind), left, right, f, rows) + either)
        den += weights[f] * (both + state * (1 - both))
        cnt += both + either
    enough = (cnt >= least) & (den > 0)
    return np.divide(num, den, out=np.full(shape, nothing, np.float32), where=enough)


def _delta(kind: int, left: Arrays, right: Arrays, f: int, rows: NDArray[np.int64]) -> Floats:
    x, y = left[0][f, rows][:, None], right[0][f][None, :]
    if kind == MATCH:
        differs: Floats = (x != y).astype(np.float32)
        return differs
    if kind == LINEAR:
        apart: Floats = np.abs(x - y)
        return apart
    low = np.minimum(x * right[1][f][None, :], y * left[1][f, rows][:, None])
    # x * (1 / x) may miss 1 by a rounding; twins must lie at 0 exactly
    delta: Floats = np.where(x == y, np.float32(0), np.float32(1) - np.maximum(low, np.float32(0)))
    return delta


def nearest_rows(
    right: Arrays, left: Arrays, rule: Rule, rows: NDArray[np.int64], found: tuple[bool, NDArray[np.int64], Floats]
) -> None:
    """Write the nearest columns of each of `rows` to `found`: (leave the row itself out, index, distance)."""
    exclude, index, distance = found
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        d = _distances(right, left, rule, part)
        if exclude:
            d[np.arange(len(part)), part] = rule[4]
        order = np.argsort(d, axis=1, kind="stable")[:, : index.shape[1]]
        best = np.take_along_axis(d, order, axis=1)
        index[start : start + len(part)] = np.where(best < rule[4], order, -1)
        distance[start : start + len(part)] = best
