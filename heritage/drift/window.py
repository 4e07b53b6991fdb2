"""The window: what a model saw in one period, as counts on its profile's cells.

Counts are added and instants compared when windows merge, so any split of a stream over chunks, threads, processes
and machines gives identical counters. Memory is that of the cells; no raw row is kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.drift import distinct, npz
from heritage.drift.numeric import CHUNK
from heritage.drift.parts import Column, Counts, Faults
from heritage.drift.profile import DriftProfile
from heritage.errors import BadInput

FORMAT = "heritage drift window"
VERSION = 1
MAX_UNKNOWN = 32

# per column after its cells: faults, then rows of frames that lack the column
_FAULTS = tuple(f.name for f in fields(Faults))
_EXTRAS = len(_FAULTS) + 1
_NEVER = np.iinfo(np.int64).min


@dataclass(eq=False)
class Window:
    """Counters of one window; not thread-safe (`heritage.drift.agent` is).

    `counters`: cells, faults and absent rows of every column in the profile's order. `registers`: how many rows
    differ. `instants` (columns, 2): largest negated and largest plain second of datetime columns. `unknown`: rows that
    came with a column the profile does not know, for the alphabetically first 32 such names. `lost`: rows that
    producers had to drop before counting them.
    """

    profile: DriftProfile
    rows: int
    counters: Counts
    registers: NDArray[np.uint8]
    instants: NDArray[np.int64]
    unknown: dict[str, int]
    lost: int = 0
    _layout: dict[str, tuple[int, int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        sizes = [_size(column) for column in self.profile.columns]
        starts = np.append(0, np.cumsum(sizes)).tolist()
        self._layout = {c.name: (starts[i], sizes[i]) for i, c in enumerate(self.profile.columns)}

    @classmethod
    def empty(cls, profile: DriftProfile) -> "Window":
        """A window without rows."""
        size = sum(_size(column) for column in profile.columns)
        instants = np.full((len(profile.columns), 2), _NEVER, np.int64)
        return cls(profile, 0, np.zeros(size, np.int64), np.zeros(distinct.REGISTERS, np.uint8), instants, {})

    def update(self, frame: pd.DataFrame, outputs: pd.DataFrame | None = None) -> "Window":
        """Count the rows of `frame` (and of the model's `outputs` on them) into this window; returns the window.

        Missing and unknown columns and values of another type are counted as such, not refused. Raises `BadInput` for
        doubled column names and for outputs of another length. Cost O(n) a column; extra memory that of one chunk.
        """
        if outputs is not None and len(outputs) != len(frame):
            raise BadInput(f"window: {len(frame)} rows of inputs, {len(outputs)} of outputs; give one output a row")
        names = [str(name) for part in (frame, outputs) if part is not None for name in part.columns]
        if len(set(names)) < len(names):
            raise BadInput("window: a column name occurs twice; give each column its own name")
        for start in range(0, len(frame), CHUNK):
            pieces = [part.iloc[start : start + CHUNK] for part in (frame, outputs) if part is not None]
            self._add({str(name): piece[name] for piece in pieces for name in piece.columns}, len(pieces[0]))
        return self

    def merge(self, other: "Window") -> "Window":
        """A new window with the rows of both; `BadInput` if they count on different profiles."""
        if other.profile is not self.profile and other.profile.signature != self.profile.signature:
            raise BadInput("windows of different drift profiles cannot be merged; count both on the same profile")
        return Window(
            self.profile,
            self.rows + other.rows,
            self.counters + other.counters,
            np.maximum(self.registers, other.registers),
            np.maximum(self.instants, other.instants),
            _first_names({n: self.unknown.get(n, 0) + other.unknown.get(n, 0) for n in self.unknown | other.unknown}),
            self.lost + other.lost,
        )

    __add__ = merge

    def cells(self, column: Column) -> Counts:
        """Counts of all parts of a column, one after the other."""
        start, size = self._layout[column.name]
        return self.counters[start : start + size - _EXTRAS]

    def faults(self, column: Column) -> tuple[Faults, int]:
        """Faulty values of a column, and rows that came without the column."""
        start, size = self._layout[column.name]
        extras = self.counters[start + size - _EXTRAS : start + size].tolist()
        return Faults(**dict(zip(_FAULTS, extras, strict=False))), extras[-1]

    def span_s(self, column: Column) -> int:
        """Seconds between the first and the last instant of a datetime column; 0 where there are none."""
        low, high = self.instants[[c.name for c in self.profile.columns].index(column.name)].tolist()
        return 0 if low == _NEVER else high + low

    @property
    def distinct_rows(self) -> int:
        """Estimated number of different rows, never more than there are."""
        return min(distinct.estimate(self.registers), self.rows)

    def to_bytes(self) -> bytes:
        """The window as an npz file; equal windows give equal bytes."""
        header = {"profile": self.profile.signature, "rows": self.rows, "unknown": self.unknown, "lost": self.lost}
        arrays: npz.Arrays = {"counters": self.counters, "registers": self.registers, "instants": self.instants}
        return npz.pack(FORMAT, VERSION, header, arrays)

    @classmethod
    def from_bytes(cls, profile: DriftProfile, data: bytes, where: str) -> "Window":
        """The window in a file; `BadInput` if it is damaged or counts on another profile."""
        header, arrays = npz.unpack(data, FORMAT, VERSION, where)
        if header.get("profile") != profile.signature:
            raise BadInput(
                f"{where}: counts on profile {str(header.get('profile'))[:12]}, not on {profile.signature[:12]}; "
                "use the profile of the version that the window belongs to"
            )
        blank = cls.empty(profile)
        for name, expected in (
            ("counters", blank.counters),
            ("registers", blank.registers),
            ("instants", blank.instants),
        ):
            found = arrays.get(name)
            if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
                raise BadInput(f"{where}: {name} do not fit the profile; the file is damaged, count the window again")
        unknown = header.get("unknown")
        numbers = [header.get("rows"), header.get("lost"), *(unknown.values() if isinstance(unknown, dict) else [None])]
        if not all(isinstance(n, int) and n >= 0 for n in numbers) or (arrays["counters"] < 0).any():
            raise BadInput(f"{where}: a number of rows is negative or missing; the file is damaged")
        state = (header["rows"], arrays["counters"], arrays["registers"], arrays["instants"], header["unknown"])
        return cls(profile, *state, lost=header["lost"])

    def _add(self, series: Mapping[str, "pd.Series[Any]"], rows: int) -> None:
        sums, start = np.zeros(rows, np.uint64), 0
        for position, column in enumerate(self.profile.columns):
            size = _size(column)
            values = series.get(column.name)
            if values is None:
                self.counters[start + size - 1] += rows
            else:
                tally = column.count(values)
                extras = [getattr(tally.faults, name) for name in _FAULTS]
                self.counters[start : start + size] += np.concatenate([tally.cells, extras, [0]])
                if tally.span is not None:
                    low, high = tally.span
                    self.instants[position] = np.maximum(self.instants[position], (-low, high))
                distinct.mix_in(sums, position, tally.codes)
            start += size
        self.rows += rows
        distinct.add(self.registers, sums)
        extra = {name: self.unknown.get(name, 0) + rows for name in series if name not in self._layout}
        self.unknown = _first_names(self.unknown | extra)


def merge_all(profile: DriftProfile, windows: "list[Window]") -> Window:
    """One window with the rows of all; an empty one for none."""
    total = Window.empty(profile)
    for window in windows:
        total = total.merge(window)
    return total


def _size(column: Column) -> int:
    return sum(len(part.reference) for part in column.parts) + _EXTRAS


def _first_names(unknown: dict[str, int]) -> dict[str, int]:
    """The alphabetically first names: those that would be kept however the rows were split."""
    return dict(sorted(unknown.items())[:MAX_UNKNOWN])
