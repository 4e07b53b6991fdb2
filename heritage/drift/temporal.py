"""Datetime columns: as order (is the time later?) and as the cycles of the day, the week and the year.

Time moves on, so the order is counted and shown but raises no alarm unless a rule asks for it. A cycle can only be
compared when reference and window both span it whole: an hour of data says nothing about the hours of the day.
Times are instants: with a time zone they are taken in UTC, without one as if they were.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from heritage.drift import numeric
from heritage.drift.parts import Counts, Family, Faults, Kind, Part, Tally, Values, codes_of
from heritage.records import Moments

DAY_S = 86_400
# name of the cycle, its length in seconds, number of cells
CYCLES = (("hour", DAY_S, 24), ("weekday", 7 * DAY_S, 7), ("month", 366 * DAY_S, 12))

_LABELS = {
    "hour": tuple(f"{hour:02d} h" for hour in range(24)),
    "weekday": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "month": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
}


@dataclass(frozen=True, slots=True, eq=False)
class DatetimeColumn:
    """A datetime column of the reference. `zoned` says whether its times carried a zone; `span` in whole seconds."""

    name: str
    family: Family
    zoned: bool
    span: tuple[int, int] | None
    faults: Faults
    parts: tuple[Part, ...]
    moments: Moments | None = None
    kind: Kind = Kind.DATETIME

    def count(self, values: "pd.Series[Any]") -> Tally:
        """Counts of a chunk: order first, then hour, weekday and month."""
        seconds, mistyped = seconds_of(values, self.zoned)
        edges = self.parts[0].edges
        assert edges is not None
        return _tally(seconds, mistyped, edges)

    def record(self) -> dict[str, Any]:
        """Header entry."""
        return {"zoned": self.zoned, "span": self.span and list(self.span)}


def fit(name: str, family: Family, values: "pd.Series[Any]") -> DatetimeColumn:
    """The column fitted to the reference's times."""
    zoned = _is_zoned(values)
    seconds, mistyped = seconds_of(values, zoned)
    edges = numeric.edges_of(np.sort(seconds))
    tally = _tally(seconds, mistyped, edges)
    return DatetimeColumn(name, family, zoned, tally.span, tally.faults, parts_of(name, edges, tally.cells, tally.span))


def parts_of(name: str, edges: Values, cells: Counts, span: tuple[int, int] | None) -> tuple[Part, ...]:
    """The parts of a datetime column with these counts; a cycle that the reference does not span is not judged."""
    length = span[1] - span[0] if span else 0
    at = 2 * len(edges) + 1
    parts = [Part(name, cells[:at], edges, judged=False)]
    for cycle, period_s, size in CYCLES:
        labels = _LABELS[cycle]
        counts = cells[at : at + size]
        parts.append(Part(f"{name}.{cycle}", counts, None, labels, size, period_s, judged=length >= period_s))
        at += size
    return tuple(parts)


def cells_needed(edges: int) -> int:
    """Cells of all parts of a datetime column with this many edges."""
    return 2 * edges + 1 + sum(size for _, _, size in CYCLES)


def seconds_of(values: "pd.Series[Any]", zoned: bool) -> tuple[NDArray[np.float64], int]:
    """Seconds since 1970 (n,), NaN where there is no time, and how many present values are no such times.

    A time without zone among times with zone (or the other way round) is another type, hence mistyped.
    """
    if types.is_datetime64_any_dtype(values.dtype) and not types.is_object_dtype(values.dtype):
        times = values
        usable = np.full(len(values), _is_zoned(values) == zoned)
    elif types.is_object_dtype(values.dtype):
        is_time = np.array([_is_time(v, zoned) for v in values], dtype=bool)
        times, usable = values.where(is_time), is_time
    else:
        return np.full(len(values), np.nan), int(values.notna().sum())
    instants = pd.to_datetime(times, utc=True, errors="coerce").dt.tz_localize(None)
    present = values.notna().to_numpy()
    usable = usable & instants.notna().to_numpy()
    whole = instants.to_numpy(dtype="datetime64[us]").astype(np.int64)
    return np.where(usable, whole / 1e6, np.nan), int((present & ~usable).sum())


def _is_time(value: Any, zoned: bool) -> bool:
    if not hasattr(value, "year") or value is pd.NaT:
        return False
    return (getattr(value, "tzinfo", None) is not None) == zoned


def _is_zoned(values: "pd.Series[Any]") -> bool:
    if types.is_object_dtype(values.dtype):
        return any(getattr(v, "tzinfo", None) is not None for v in values)
    return getattr(values.dtype, "tz", None) is not None or "tz=" in str(values.dtype)


def _tally(seconds: NDArray[np.float64], mistyped: int, edges: Values) -> Tally:
    order, faults = numeric.count_sorted(np.sort(seconds), edges, np.dtype(np.float64))
    whole = np.floor(seconds[~np.isnan(seconds)]).astype(np.int64)
    days = whole // DAY_S
    months = (days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)) % 12
    # 1970-01-01 was a Thursday; Monday is 0
    cycles = (whole % DAY_S // 3600, (days + 3) % 7, months)
    cells = [order, *(np.bincount(c, minlength=size) for c, (_, _, size) in zip(cycles, CYCLES, strict=True))]
    span = (int(whole.min()), int(whole.max())) if len(whole) else None
    return Tally(
        np.concatenate(cells).astype(np.int64), Faults(faults.missing - mistyped, mistyped), codes_of(seconds), span
    )
