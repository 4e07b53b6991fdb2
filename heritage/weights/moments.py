"""Moments of tensors from rows of elements, so that the result does not depend on how the rows were read.

A row is a fixed stretch of one tensor. Its power sums are taken in float32 where that is exact enough and in float64
where it is not (small tensors, a mean that dominates, very large or small values); rows are put together in float64
by the formulas of Pébay (2008) for combining central moments.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

# beyond these the fourth power leaves the range of float32
_LARGE, _SMALL = 1e8, 1e-8
# a mean above this share of the root mean square would cost digits of the central moments
_MEAN_SHARE = 0.05

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RowMoments:
    """Per row: number of elements, sum of squares, mean, and sums of 2nd to 4th powers about the mean."""

    count: NDArray[np.int64]
    squares: Floats
    mean: Floats
    m2: Floats
    m3: Floats
    m4: Floats


@dataclass(frozen=True, slots=True, eq=False)
class TensorMoments:
    """Per tensor, float64 of shape (T,): sum of squares, mean, variance (over n), skewness, excess kurtosis.

    Where the variance is 0 or the tensor empty, skewness and kurtosis are 0.
    """

    squares: Floats
    mean: Floats
    variance: Floats
    skewness: Floats
    kurtosis: Floats

    def take(self, order: NDArray[np.int64]) -> "TensorMoments":
        """The tensors at `order`."""
        return TensorMoments(*(getattr(self, f.name)[order] for f in fields(self)))


def join(parts: Sequence[RowMoments]) -> RowMoments:
    """The rows of all `parts` in order."""
    if not parts:
        return RowMoments(np.zeros(0, np.int64), *(np.zeros(0) for _ in range(5)))
    return RowMoments(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(RowMoments)))


def row_moments(
    rows: NDArray[np.float32], count: NDArray[np.int64], exact: NDArray[np.bool_], scratch: NDArray[np.float32]
) -> RowMoments:
    """Moments of finite `rows`, shape (r, width); row i holds count[i] elements, then zeros.

    Rows marked in `exact` are computed in float64 in any case. Each row's result depends on that row alone. `scratch`
    is memory of at least the same shape, overwritten.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        square = np.multiply(rows, rows, out=scratch[: len(rows)])
        # each a float32 dot product of one row, so independent of its neighbours
        s1, s2 = np.vecdot(rows, _ones(rows.shape[1])).astype(float), np.vecdot(rows, rows).astype(float)
        s3, s4 = np.vecdot(rows, square).astype(float), np.vecdot(square, square).astype(float)
        n = np.maximum(count, 1)
        mean = s1 / n
        root = np.sqrt(s2 / n)
        peak = np.sqrt(np.sqrt(s4))
        hard = exact | ~((peak < _LARGE) & (root > _SMALL)) | (np.abs(mean) > _MEAN_SHARE * root)
    with np.errstate(over="ignore", invalid="ignore"):
        m2 = s2 - n * mean**2
        m3 = s3 - 3 * mean * s2 + 2 * n * mean**3
        m4 = s4 - 4 * mean * s3 + 6 * mean**2 * s2 - 3 * n * mean**4
    result = RowMoments(count, s2, mean, m2, m3, m4)
    if hard.any():
        _exactly(result, rows, hard)
    return result


@cache
def _ones(width: int) -> NDArray[np.float32]:
    return np.ones(width, np.float32)


def _exactly(moments: RowMoments, rows: NDArray[np.float32], hard: NDArray[np.bool_]) -> None:
    """Replace the moments of the rows marked in `hard` by those computed in float64."""
    count = moments.count[hard]
    x = rows[hard].astype(np.float64)
    n = np.maximum(count, 1)
    mean = x.sum(axis=1) / n
    moments.squares[hard] = np.vecdot(x, x)
    x -= mean[:, None]
    x[np.arange(x.shape[1]) >= count[:, None]] = 0
    square = x * x
    moments.mean[hard] = mean
    moments.m2[hard] = square.sum(axis=1)
    moments.m3[hard] = np.vecdot(x, square)
    moments.m4[hard] = np.vecdot(square, square)


def combine(rows: RowMoments, first: NDArray[np.int64]) -> TensorMoments:
    """Moments of tensors whose rows begin at `first`, ascending; every tensor has at least one row."""
    # floats beside the int64 counts would wrap nowhere, but products of four must not
    n_row = rows.count.astype(float)
    n = np.maximum(np.add.reduceat(n_row, first), 1)
    length = np.diff(np.append(first, len(n_row)))
    mean = np.add.reduceat(n_row * rows.mean, first) / n
    d = rows.mean - np.repeat(mean, length)
    m2 = np.add.reduceat(rows.m2 + n_row * d**2, first)
    m3 = np.add.reduceat(rows.m3 + 3 * d * rows.m2 + n_row * d**3, first)
    m4 = np.add.reduceat(rows.m4 + 4 * d * rows.m3 + 6 * d**2 * rows.m2 + n_row * d**4, first)
    variance = np.maximum(m2 / n, 0)
    # a constant tensor leaves rounding only
    spread = np.where(variance > (1e-12 * mean) ** 2, variance, np.nan)
    return TensorMoments(
        squares=np.add.reduceat(rows.squares, first),
        mean=mean,
        variance=variance,
        skewness=_shape(m3 / n / spread / np.sqrt(spread)),
        kurtosis=_shape(m4 / n / spread / spread - 3),
    )


def _shape(ratio: Floats) -> Floats:
    """A ratio of moments to the precision that files keep, 0 where it is undefined."""
    return np.nan_to_num(ratio).astype(np.float32).astype(np.float64)
