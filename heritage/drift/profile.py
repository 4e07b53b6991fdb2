"""The drift profile: what a model version's reference data look like, in counts on fixed cells.

Fitted once per version, on rows that the model was not trained on; stored beside the manifest. Windows count on its
cells (`heritage.drift.window`) and are compared with it (`heritage.drift.verdict`); no raw row is kept.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from heritage.drift import distinct
from heritage.drift.kinds import fit_column
from heritage.drift.numeric import CHUNK
from heritage.drift.parts import Column, Family, Part
from heritage.drift.performance import PerformanceReference
from heritage.errors import BadInput, NotFound
from heritage.names import printable
from heritage.records import Moments

MAX_COLUMNS = 10_000
MAX_COLUMN_NAME = 500


@dataclass(frozen=True, eq=False)
class DriftProfile:
    """Columns of the reference in the frame's order, inputs before outputs.

    `rows` is the reference's size, `distinct_rows` an estimate of how many of them differ. `performance` says how
    right the model was on the reference, where labels were given.
    """

    rows: int
    distinct_rows: int
    columns: tuple[Column, ...]
    performance: PerformanceReference | None = None

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        *,
        categorical: Collection[str] = (),
        exclude: Collection[str] = (),
        outputs: pd.DataFrame | None = None,
        performance: PerformanceReference | None = None,
    ) -> "DriftProfile":
        """The profile of the reference `frame` and of the model's `outputs` on the same rows.

        `categorical` names columns whose numbers are codes; `exclude` those that are left out. Raises `BadInput` for an
        empty frame, doubled names, mixed or nested values, and `NotFound` for a named column that is not there. Cost
        n log n a column; the result depends on the rows, not on their order.
        """
        frames = _checked_frames(frame, outputs, categorical, exclude)
        columns = [
            fit_column(str(name), family, part[name], str(name) in categorical)
            for family, part in frames.items()
            for name in part.columns
        ]
        _check_part_names(columns)
        return cls(len(frame), _distinct_rows(columns, frames, len(frame)), tuple(columns), performance)

    @cached_property
    def parts(self) -> Mapping[str, Part]:
        """All compared distributions by name, in order."""
        return {part.name: part for column in self.columns for part in column.parts}

    @property
    def schema(self) -> dict[str, str]:
        """Kind of each column by name: numeric, categorical, boolean or datetime."""
        return {column.name: str(column.kind) for column in self.columns}

    @property
    def moments(self) -> dict[str, Moments]:
        """Moments of each numeric column that has finite values."""
        return {column.name: column.moments for column in self.columns if column.moments is not None}

    @cached_property
    def signature(self) -> str:
        """SHA-256 over schema, edges and counts: the name of this reference data in lineage records."""
        h = hashlib.sha256()
        for column in self.columns:
            entry = [column.name, column.kind, column.family, column.record(), fault_counts(column)]
            h.update(json.dumps(entry, sort_keys=True).encode())
            for part in column.parts:
                h.update(part.reference.astype("<i8").tobytes())
                h.update(b"" if part.edges is None else part.edges.astype("<f8").tobytes())
        h.update(f"{self.rows} {self.distinct_rows}".encode())
        return h.hexdigest()

    def to_bytes(self) -> bytes:
        """The profile as an npz file without Python objects."""
        from heritage.drift.profile_file import encode

        return encode(self)

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "DriftProfile":
        """The profile in an npz file; `BadInput` naming `where` for anything else."""
        from heritage.drift.profile_file import decode

        return decode(data, where)


def fault_counts(column: Column) -> list[int]:
    """Missing, mistyped and infinite values of a column's reference."""
    faults = column.faults
    return [faults.missing, faults.mistyped, faults.infinite_low, faults.infinite_high]


def _checked_frames(
    frame: pd.DataFrame, outputs: pd.DataFrame | None, categorical: Collection[str], exclude: Collection[str]
) -> dict[Family, pd.DataFrame]:
    names = {str(name) for name in frame.columns}
    for wanted in (*categorical, *exclude):
        if wanted not in names:
            raise NotFound(f"column '{printable(wanted)}' is not in the reference; it has {_listed(names)}")
    if len(frame) == 0:
        raise BadInput("the reference has no rows; a profile needs at least one")
    if outputs is not None and len(outputs) != len(frame):
        raise BadInput(f"the reference has {len(frame)} rows, its outputs {len(outputs)}; give one output a row")
    kept = frame[[name for name in frame.columns if str(name) not in exclude]] if exclude else frame
    frames = {Family.INPUT: kept} if outputs is None else {Family.INPUT: kept, Family.OUTPUT: outputs}
    _check_names([str(name) for part in frames.values() for name in part.columns])
    return frames


def _check_names(names: list[str]) -> None:
    if not 0 < len(names) <= MAX_COLUMNS:
        raise BadInput(f"the reference has {len(names)} columns; allowed are 1 to {MAX_COLUMNS}")
    for name in names:
        if len(name) > MAX_COLUMN_NAME:
            raise BadInput(f"column '{printable(name, 40)}' has too long a name; the limit is {MAX_COLUMN_NAME}")
    if doubled := _doubled(names):
        raise BadInput(f"columns {_listed(doubled)} occur twice in the reference; give each its own name")


def _check_part_names(columns: list[Column]) -> None:
    parts = [part.name for column in columns for part in column.parts]
    if doubled := _doubled(parts):
        raise BadInput(f"{_listed(doubled)} would name a column and a part of a datetime column; rename the column")


def _doubled(names: list[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(f"'{printable(name, 40)}'" for name in sorted(names)[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"


def _distinct_rows(columns: list[Column], frames: Mapping[Family, pd.DataFrame], rows: int) -> int:
    registers = np.zeros(distinct.REGISTERS, np.uint8)
    for start in range(0, rows, CHUNK):
        pieces: dict[Any, pd.DataFrame] = {f: part.iloc[start : start + CHUNK] for f, part in frames.items()}
        named = {str(name): piece[name] for piece in pieces.values() for name in piece.columns}
        sums = np.zeros(min(CHUNK, rows - start), np.uint64)
        for position, column in enumerate(columns):
            distinct.mix_in(sums, position, column.count(named[column.name]).codes)
        distinct.add(registers, sums)
    return distinct.estimate(registers)
