"""Numeric columns: edges fixed by the reference, and exact counts at and between them.

A chunk is sorted and the 257 edges are looked up in it, which is much cheaper than looking up every value among the
edges. An edge that carries many equal values is a cell of its own, so constants, integers and zero-inflated columns
are counted without loss.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from heritage.drift.parts import Counts, Family, Faults, Kind, Part, Tally, Values, codes_of
from heritage.records import Moments

MAX_EDGES = 257
CHUNK = 65_536  # values that are sorted at a time: they stay in the processor's cache

_PRECISIONS: dict[str, np.dtype[Any]] = {
    "float16": np.dtype(np.float16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}


@dataclass(frozen=True, slots=True, eq=False)
class NumericColumn:
    """A numeric column of the reference. `precision` is the float type that its values were given in."""

    name: str
    family: Family
    precision: str
    faults: Faults
    part: Part
    moments: Moments | None
    kind: Kind = Kind.NUMERIC

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its one part."""
        return (self.part,)

    def count(self, values: "pd.Series[Any]") -> Tally:
        """Counts of a chunk; numbers in lower precision than the reference's are compared in that precision."""
        numbers, mistyped = numbers_of(values)
        assert self.part.edges is not None
        cells, faults = count_sorted(_sorted(numbers), self.part.edges, _PRECISIONS[self.precision])
        faults = Faults(faults.missing - mistyped, mistyped, faults.infinite_low, faults.infinite_high)
        return Tally(cells, faults, codes_of(numbers))

    def record(self) -> dict[str, Any]:
        """Header entry."""
        return {"precision": self.precision}


def fit(name: str, family: Family, values: "pd.Series[Any]") -> NumericColumn:
    """The column fitted to the reference's values; cost n log n."""
    numbers, _ = numbers_of(values)
    ordered = _sorted(numbers)
    edges = edges_of(ordered)
    precision = numbers.dtype.name
    cells, faults = count_sorted(ordered, edges, numbers.dtype)
    return NumericColumn(name, family, precision, faults, Part(name, cells, edges), moments_of(ordered))


def numbers_of(values: "pd.Series[Any]") -> tuple[NDArray[Any], int]:
    """The values as floats (n,), NaN where there is none, and how many present values are no numbers."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        return values.to_numpy(dtype=min(dtype, np.dtype(np.float64), key=lambda d: d.itemsize)), 0
    if isinstance(dtype, np.dtype) and dtype.kind in "iu":
        return values.to_numpy(dtype=np.float64), 0
    if types.is_timedelta64_dtype(dtype):
        return values.dt.total_seconds().to_numpy(dtype=np.float64), 0
    if types.is_bool_dtype(dtype) and not types.is_object_dtype(dtype):
        return np.full(len(values), np.nan), int(values.notna().sum())
    if types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype):
        return values.to_numpy(dtype=np.float64, na_value=np.nan), 0
    return _numbers_one_by_one(values)


def _numbers_one_by_one(values: "pd.Series[Any]") -> tuple[NDArray[Any], int]:
    present = values.notna().to_numpy()
    numbers = np.full(len(values), np.nan)
    if types.is_object_dtype(values.dtype):
        cells = values.to_numpy()
        is_number = np.array([types.is_number(c) and not types.is_bool(c) and not types.is_complex(c) for c in cells])
        is_number |= np.array([type(c).__name__ == "Decimal" for c in cells], dtype=bool)
        usable = present & is_number.astype(bool)
        numbers[usable] = cells[usable].astype(np.float64)
        return numbers, int((present & ~usable).sum())
    return numbers, int(present.sum())


def check_precision(name: str) -> str:
    """`name` itself if it is a float type that values are compared in, else `ValueError`."""
    if name not in _PRECISIONS:
        raise ValueError(f"precision {name!r} is none of {sorted(_PRECISIONS)}")
    return name


def edges_of(ordered: NDArray[Any]) -> Values:
    """At most 257 edges: every distinct finite value, or quantiles with the smallest and the largest value."""
    finite = ordered[np.searchsorted(ordered, -np.inf, "right") : np.searchsorted(ordered, np.inf, "left")]
    if len(finite) == 0:
        return np.empty(0)
    changes = np.flatnonzero(finite[1:] != finite[:-1])
    if len(changes) < MAX_EDGES:
        picked = finite[np.append(changes, len(finite) - 1)]
    else:
        at = np.round(np.linspace(0, len(finite) - 1, MAX_EDGES)).astype(np.int64)
        picked = np.unique(finite[at])
    return np.asarray(picked.astype(np.float64) + 0.0)  # one zero


def count_sorted(ordered: NDArray[Any], edges: Values, precision: np.dtype[Any]) -> tuple[Counts, Faults]:
    """Counts on the 2E+1 cells of `edges`, and the faults, of sorted floats (NaN last)."""
    present = len(ordered)
    if present and np.isnan(ordered[-1]):
        present = int(np.searchsorted(ordered, ordered.dtype.type(np.nan), "left"))
    found, edges = _same_precision(ordered[:present], edges, precision)
    cells = np.full(2 * len(edges) + 1, present, np.int64)
    if len(edges):
        below, upto = found.searchsorted(edges, "left"), found.searchsorted(edges, "right")
        # edges that lower precision makes equal: their values are counted once, at the first of them
        below[1:] = np.maximum(below[1:], upto[:-1])
        cells[0], cells[-1] = below[0], present - upto[-1]
        cells[1::2], cells[2:-1:2] = upto - below, below[1:] - upto[:-1]
    low = int(found.searchsorted(-np.inf, "right")) if present and found[0] == -np.inf else 0
    high = present - int(found.searchsorted(np.inf, "left")) if present and found[-1] == np.inf else 0
    return cells, Faults(missing=len(ordered) - present, infinite_low=low, infinite_high=high)


def _same_precision(found: NDArray[Any], edges: Values, precision: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Values and edges rounded to the lower of both precisions, so that equal numbers stay equal."""
    lowest = min(found.dtype, precision, key=lambda d: d.itemsize)
    if lowest == np.float64:
        return found, edges
    working = np.dtype(np.float32)
    with np.errstate(over="ignore"):
        rounded = found if found.dtype == lowest else found.astype(lowest)
        return rounded.astype(working, copy=False), edges.astype(lowest).astype(working)


def _sorted(numbers: NDArray[Any]) -> NDArray[Any]:
    wide = numbers if numbers.dtype in (np.float32, np.float64) else numbers.astype(np.float32)
    return np.sort(wide)


def moments_of(ordered: NDArray[Any]) -> Moments | None:
    """Moments of the finite values among sorted floats; None where there are none or they overflow.

    Variance with n in the denominator; skewness and excess kurtosis are 0 for constant columns.
    """
    finite = ordered[np.searchsorted(ordered, -np.inf, "right") : np.searchsorted(ordered, np.inf, "left")]
    if len(finite) == 0:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(finite.mean(dtype=np.float64))
        variance = _mean_power(finite, mean, 1.0, 2)
        varies = variance > 0.0 and finite[0] != finite[-1]
        skewness = _mean_power(finite, mean, variance**0.5, 3) if varies else 0.0
        kurtosis = _mean_power(finite, mean, variance**0.5, 4) - 3.0 if varies else 0.0
    figures = (mean, variance, skewness, kurtosis)
    if not np.isfinite(figures).all():
        return None
    return Moments(len(finite), len(ordered) - len(finite), *figures, float(finite[0]), float(finite[-1]))


def _mean_power(finite: NDArray[Any], mean: float, scale: float, power: int) -> float:
    """Mean of ((x - mean) / scale) ** power, a piece at a time."""
    total = 0.0
    for start in range(0, len(finite), CHUNK):
        centred = (finite[start : start + CHUNK].astype(np.float64) - mean) / scale
        raised = centred * centred
        total += float(np.sum(raised if power == 2 else raised * (centred if power == 3 else raised)))
    return total / len(finite)
