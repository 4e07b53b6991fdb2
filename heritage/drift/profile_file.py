"""Drift profiles as npz files: a JSON header, all edges in one array, all counts in another."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from heritage.drift import categorical, npz, numeric, temporal
from heritage.drift.parts import Column, Counts, Family, Faults, Kind, Part, Values
from heritage.drift.performance import PerformanceReference
from heritage.errors import BadInput
from heritage.records import Moments

if TYPE_CHECKING:
    from heritage.drift.profile import DriftProfile

FORMAT = "heritage drift profile"
VERSION = 1


def encode(profile: "DriftProfile") -> bytes:
    """The profile's file."""
    columns = [
        {
            "name": column.name,
            "kind": column.kind,
            "family": column.family,
            "faults": asdict(column.faults),
            "moments": column.moments and asdict(column.moments),
            "edges": len(edges) if (edges := column.parts[0].edges) is not None else 0,
            **column.record(),
        }
        for column in profile.columns
    ]
    parts = [part for column in profile.columns for part in column.parts]
    header = {
        "rows": profile.rows,
        "distinct_rows": profile.distinct_rows,
        "columns": columns,
        "performance": profile.performance and profile.performance.record(),
    }
    all_edges = [part.edges for part in parts if part.edges is not None]
    arrays = {
        "edges": np.concatenate(all_edges or [np.empty(0)]).astype("<f8"),
        "counts": np.concatenate([part.reference for part in parts]).astype("<i8"),
    }
    return npz.pack(FORMAT, VERSION, header, arrays)


def decode(data: bytes, where: str) -> "DriftProfile":
    """The profile in a file; `BadInput` where it is damaged or its counts do not fit its columns."""
    from heritage.drift.profile import DriftProfile

    header, arrays = npz.unpack(data, FORMAT, VERSION, where)
    try:
        reader = _Reader(arrays["edges"].astype(np.float64), arrays["counts"].astype(np.int64), header["rows"], where)
        columns = tuple(_column(entry, reader) for entry in header["columns"])
        reader.check_used_up()
        recorded = header["performance"]
        performance = None if recorded is None else PerformanceReference.from_record(recorded, where)
        return DriftProfile(int(header["rows"]), int(header["distinct_rows"]), columns, performance)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput(f"{where}: a {FORMAT} whose content does not fit together ({error!r}); fit it again") from error


class _Reader:
    """Hands out the arrays piece by piece, checking each."""

    def __init__(self, edges: Values, counts: Counts, rows: int, where: str) -> None:
        self._edges, self._counts, self._rows, self._where = edges, counts, rows, where

    def edges(self, size: int) -> Values:
        taken, self._edges = self._edges[:size], self._edges[size:]
        if len(taken) != size or not np.isfinite(taken).all() or (np.diff(taken) <= 0).any():
            raise BadInput(f"{self._where}: edges are missing, not finite or not increasing; fit the profile again")
        return taken

    def counts(self, size: int) -> Counts:
        taken, self._counts = self._counts[:size], self._counts[size:]
        if len(taken) != size or (taken < 0).any() or (taken > self._rows).any():
            raise BadInput(f"{self._where}: counts are missing, negative or above {self._rows} rows; fit it again")
        return taken

    def check_used_up(self) -> None:
        if len(self._edges) or len(self._counts):
            raise BadInput(f"{self._where}: holds more counts than its columns have; fit the profile again")


def _column(entry: dict[str, Any], reader: _Reader) -> Column:
    name, kind, family = entry["name"], Kind(entry["kind"]), Family(entry["family"])
    faults = Faults(**{key: int(n) for key, n in entry["faults"].items()})
    if kind is Kind.NUMERIC:
        edges = reader.edges(entry["edges"])
        part = Part(name, reader.counts(2 * len(edges) + 1), edges)
        moments = entry["moments"] and Moments(**entry["moments"])
        return numeric.NumericColumn(name, family, numeric.check_precision(entry["precision"]), faults, part, moments)
    if kind is Kind.DATETIME:
        edges = reader.edges(entry["edges"])
        span = (int(entry["span"][0]), int(entry["span"][1])) if entry["span"] else None
        counts = reader.counts(temporal.cells_needed(len(edges)))
        parts = temporal.parts_of(name, edges, counts, span)
        return temporal.DatetimeColumn(name, family, bool(entry["zoned"]), span, faults, parts)
    levels, buckets = categorical.check_levels(entry["levels"]), int(entry["buckets"])
    part = categorical.part_of(name, levels, buckets, reader.counts(categorical.cells_needed(levels, buckets)))
    return categorical.CategoricalColumn(name, family, kind, entry["accepts"], levels, buckets, faults, part)
