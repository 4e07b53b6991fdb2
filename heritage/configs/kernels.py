"""The distance kernels, compiled by numba; importing this module needs numba, its callers fall back to numpy.

All kernels release the interpreter lock, so that threads may share the rows out among themselves. Records go in as
tuples, which is what numba takes: arrays are (values, reciprocals, presence), each float32 (fields, n).
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from heritage.configs.gower_numpy import LINEAR, RATIO, Arrays, Floats, Rule

_F = TypeVar("_F", bound=Callable[..., Any])
# columns worked on at a time: accumulators of a tile stay in the first cache
_TILE = 2048
# sums may be reordered and multiplied through; NaN keeps its meaning, as it stands for 'nothing comparable'
_MATHS = {"reassoc", "contract", "arcp", "nsz"}


def _compiled(function: _F) -> _F:
    try:
        return numba.njit(function, nogil=True, fastmath=_MATHS, cache=True)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to cache in (read-only installation): compiled anew in each process
        return numba.njit(function, nogil=True, fastmath=_MATHS)  # type: ignore[no-any-return]


@_compiled
def _add_field(
    how: tuple[int, np.float32, np.float32],
    one: tuple[float, float, float],
    tile: Arrays,
    sums: tuple[Floats, Floats, Floats],
) -> None:
    """Add one field's part (kind, weight, whether missing is a state) for one row against a tile of others."""
    kind, weight, state = how
    x, xi, vi = one
    y, yi, vj = tile
    num, den, cnt = sums
    for j in range(y.shape[0]):
        both = vi * vj[j]
        either = state * (vi + vj[j] - np.float32(2) * both)
        if kind == RATIO:
            a, b = x * yi[j], y[j] * xi
            low = a if a < b else b
            # x * (1 / x) may miss 1 by a rounding; twins must lie at 0 exactly
            delta = np.float32(0) if x == y[j] else np.float32(1) - (low if low > np.float32(0) else np.float32(0))
        elif kind == LINEAR:
            delta = abs(x - y[j])
        else:
            delta = np.float32(0) if x == y[j] else np.float32(1)
        num[j] += weight * (both * delta + either)
        den[j] += weight * (both + state * (np.float32(1) - both))
        cnt[j] += both + either


@_compiled
def distance_row(right: Arrays, left: Arrays, rule: Rule, i: int, out: Floats) -> None:
    """Distances of row `i` of `left` to all columns of `right`, written to `out` (n,)."""
    values, inverse, valid = right
    kinds, weights, state, least, nothing = rule
    sums = np.empty((3, _TILE), np.float32)
    for start in range(0, values.shape[1], _TILE):
        stop = min(values.shape[1], start + _TILE)
        m = stop - start
        sums[:, :m] = np.float32(0)
        for f in range(values.shape[0]):
            if left[2][f, i] > 0 or state > 0:
                _add_field(
                    (kinds[f], weights[f], state),
                    (left[0][f, i], left[1][f, i], left[2][f, i]),
                    (values[f, start:stop], inverse[f, start:stop], valid[f, start:stop]),
                    (sums[0, :m], sums[1, :m], sums[2, :m]),
                )
        for j in range(m):
            enough = sums[2, j] >= least and sums[1, j] > 0
            out[start + j] = sums[0, j] / sums[1, j] if enough else nothing


@_compiled
def distance_rows(right: Arrays, left: Arrays, rule: Rule, rows: NDArray[np.int64], out: Floats) -> None:
    """`distance_row` for each of `rows`; `out` has shape (len(rows), n)."""
    for r in range(rows.shape[0]):
        distance_row(right, left, rule, rows[r], out[r])


@_compiled
def nearest_rows(
    right: Arrays, left: Arrays, rule: Rule, rows: NDArray[np.int64], found: tuple[bool, NDArray[np.int64], Floats]
) -> None:
    """Write the nearest columns of each of `rows` to `found`: (leave the row itself out, index, distance).

    `distance` comes filled with the value that no pair reaches; ties go to the lower position.
    """
    exclude, index, distance = found
    k = index.shape[1]
    buffer = np.empty(right[0].shape[1], np.float32)
    for r in range(rows.shape[0]):
        distance_row(right, left, rule, rows[r], buffer)
        if exclude:
            buffer[rows[r]] = rule[4]
        for j in range(buffer.shape[0]):
            if buffer[j] < distance[r, k - 1]:
                _insert(buffer[j], j, index[r], distance[r])


@_compiled
def _insert(d: float, j: int, index: NDArray[np.int64], distance: Floats) -> None:
    """Put column `j` at distance `d` in its place among the nearest so far."""
    place = index.shape[0] - 1
    while place > 0 and distance[place - 1] > d:
        distance[place] = distance[place - 1]
        index[place] = index[place - 1]
        place -= 1
    distance[place] = d
    index[place] = j
