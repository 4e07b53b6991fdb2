"""A config table: one row a model, every column of a stated kind, and a report of what was set aside on the way in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.configs.derive import derive
from heritage.configs.fields import ALIASES, BY_NAME_ONLY, FEATURES, NOT_COMPARED, SCHEMA, Field, Kind
from heritage.configs.sources import read_source
from heritage.configs.validate import Quarantine, check_cells, check_rows, unique_ids
from heritage.configs.values import flags, infer_kind, numbers, words
from heritage.errors import BadInput, NotFound
from heritage.names import printable


@dataclass(frozen=True, eq=False)
class ConfigTable:
    """`frame`: modelId and canonical columns, index 0..n-1; `fields`: kind of each comparable column.

    Numeric and boolean columns are float64 with NaN for missing (booleans 0 / 1), all others text or None.
    `quarantine` has one row for each value or model set aside: modelId, column, value, rule, action.
    """

    frame: pd.DataFrame
    fields: Mapping[str, Field]
    quarantine: pd.DataFrame

    def __len__(self) -> int:
        return len(self.frame)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Row of each model id."""
        return {model: i for i, model in enumerate(self.frame["modelId"].tolist())}

    def column(self, name: str) -> pd.Series:
        """Column `name`, or all missing where the table has none (a study then reports no coverage)."""
        if name in self.frame:
            return self.frame[name]
        kind = SCHEMA[name].kind if name in SCHEMA else Kind.CATEGORICAL
        as_number = kind in (Kind.NUMERIC, Kind.BOOLEAN)
        return pd.Series(
            np.full(len(self), np.nan if as_number else None), name=name, dtype=float if as_number else object
        )

    def features(self, names: Sequence[str] | None = None) -> tuple[Field, ...]:
        """Fields to compare by: those named, else the standard fifteen that the table has values for.

        Tables of other metadata, with fewer than three of the fifteen, are compared by all their fields. Raises
        `NotFound` for a name the table has no comparable column of, `BadInput` where there is nothing to compare by.
        """
        for name in names or ():
            if name not in self.fields:
                raise NotFound(f"config table has no field '{printable(name)}'; it has {sorted(self.fields)}")
        filled = [n for n in self.fields if n in self.frame and self.frame[n].notna().any()]
        standard = [n for n in FEATURES if n in filled]
        chosen = names or (standard if len(standard) >= 3 else [n for n in filled if n not in BY_NAME_ONLY])
        if not chosen:
            raise BadInput(f"config table has no comparable values; expected columns such as {list(FEATURES[:5])}")
        return tuple(self.fields[name] for name in chosen)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "ConfigTable":
        """The models at `rows` (positions or a mask), in that order."""
        frame = self.frame.loc[rows] if rows.dtype == np.bool_ else self.frame.iloc[rows]
        return ConfigTable(frame.reset_index(drop=True), self.fields, self.quarantine)


def load_configs(path: Path) -> ConfigTable:
    """Table of a csv (also .gz), parquet file, or folder of config.json files.

    Raises `NotFound` where nothing is there and `BadInput` where it has no column of model ids.
    """
    return table_of(read_source(path), str(path))


def table_of(raw: pd.DataFrame, where: str = "config table") -> ConfigTable:
    """Table of a frame with a column modelId (or model_id, id); names of other tables are translated."""
    named = _named(raw, where)
    quarantine = Quarantine()
    rows = unique_ids(named, quarantine)
    fields = _fields(rows)
    frame, wrong = _typed(rows, fields, quarantine)
    wrong |= check_cells(frame, fields, quarantine)
    frame = check_rows(frame, wrong, quarantine)
    frame = derive(frame.reset_index(drop=True))
    for name in frame.columns:
        if name in SCHEMA and name not in fields:
            fields[name] = SCHEMA[name]
    return ConfigTable(frame, fields, quarantine.frame())


def _named(raw: pd.DataFrame, where: str) -> pd.DataFrame:
    taken = set(raw.columns)
    renames = {}
    for old, new in ALIASES.items():
        if old in taken and new not in taken:
            renames[old] = new
            taken.add(new)
    named = raw.rename(columns=renames)
    if "modelId" not in named.columns:
        raise BadInput(f"{where}: no column of model ids; columns are {[printable(str(c)) for c in raw.columns][:20]}, "
                       "expected modelId (or model_id, id)")  # fmt: skip
    if named.columns.duplicated().any():
        twice = sorted(set(named.columns[named.columns.duplicated()]))
        raise BadInput(f"{where}: columns {twice} appear twice; keep one of each")
    return named


def _fields(frame: pd.DataFrame) -> dict[str, Field]:
    found = {}
    for name in frame.columns:
        if name in SCHEMA:
            found[name] = SCHEMA[name]
        elif name.startswith("is_") and name.endswith("_family"):
            found[name] = Field(name, Kind.BOOLEAN)
        elif name not in NOT_COMPARED and name.startswith(("config_", "uses_")):
            found[name] = Field(name, infer_kind(frame[name]))
    return found


def _typed(
    raw: pd.DataFrame, fields: Mapping[str, Field], quarantine: Quarantine
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Canonical columns, and how many values of each row could not be read as their kind."""
    columns: dict[str, object] = {}
    wrong = np.zeros(len(raw), dtype=np.int64)
    for name in raw.columns:
        kind = fields[name].kind if name in fields else Kind.CATEGORICAL
        if kind in (Kind.NUMERIC, Kind.BOOLEAN):
            columns[name], bad = numbers(raw[name]) if kind is Kind.NUMERIC else flags(raw[name])
            quarantine.cells(raw, name, bad, f"not {'a number' if kind is Kind.NUMERIC else 'a truth value'}")
            wrong += bad
        else:
            columns[name] = words(raw[name])
    return pd.DataFrame(columns, index=raw.index), wrong
