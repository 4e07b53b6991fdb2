"""What may stand in a config table: rules for ids, cells and rows, and a report of everything set aside."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.configs.fields import Field, Kind
from heritage.errors import UnsafeName
from heritage.names import hub_id, printable

COLUMNS = ["modelId", "column", "value", "rule", "action"]
# a row with this many unreadable or implausible values was shifted by a column; none of it is believed
SHIFTED = 2


@dataclass(slots=True)
class Quarantine:
    """Collects what is set aside; `frame()` is the report (modelId, column, value, rule, action)."""

    parts: list[pd.DataFrame] = field(default_factory=list)

    def cells(
        self, frame: pd.DataFrame, column: str, mask: NDArray[np.bool_], rule: str, action: str = "set missing"
    ) -> None:
        """Note the entries of `column` under `mask`."""
        if mask.any():
            hit = frame.loc[mask]
            shown = [printable(str(v), 60) for v in hit[column]]
            self.add(hit["modelId"].tolist(), column, shown, rule, action)

    def add(self, models: list[str], column: str, values: list[str], rule: str, action: str) -> None:
        """Note `values` of `column` of `models`."""
        part = pd.DataFrame({"modelId": [printable(str(m)) for m in models], "column": column, "value": values})
        self.parts.append(part.assign(rule=rule, action=action))

    def frame(self) -> pd.DataFrame:
        """The report, in the order in which rules were applied."""
        empty = pd.DataFrame({c: pd.Series(dtype=object) for c in COLUMNS})
        return pd.concat([p[COLUMNS] for p in self.parts], ignore_index=True) if self.parts else empty


def canonical_ids(raw: pd.Series) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Canonical hub id of each entry ('https://huggingface.co/A/b' -> 'A/b'), and which entries are no ids."""
    codes, distinct = pd.factorize(raw.astype(object))
    ids = np.array([*(_hub_id(str(value)) for value in distinct), None], dtype=object)[codes]
    return ids, np.array([i is None for i in ids], dtype=np.bool_)


def _hub_id(value: str) -> str | None:
    try:
        return hub_id(value)
    except UnsafeName:
        return None


def unique_ids(raw: pd.DataFrame, quarantine: Quarantine) -> pd.DataFrame:
    """Rows with a canonical id, one a model: of several with the same id the most complete, then the first."""
    ids, bad = canonical_ids(raw["modelId"])
    quarantine.cells(raw, "modelId", bad, "not a model id", "row set aside")
    frame = raw.assign(modelId=ids)[~bad].reset_index(drop=True)
    order = np.argsort(-frame.notna().sum(axis=1).to_numpy(), kind="stable")
    keep = np.zeros(len(frame), dtype=np.bool_)
    keep[order[~frame["modelId"].iloc[order].duplicated().to_numpy()]] = True
    quarantine.cells(frame, "modelId", ~keep, "duplicate id", "row set aside")
    return frame[keep].reset_index(drop=True)


def check_cells(frame: pd.DataFrame, fields: Mapping[str, Field], quarantine: Quarantine) -> NDArray[np.int64]:
    """Blank numbers outside their range (in place); returns how many of each row are wrong, sentinels not counted."""
    wrong = np.zeros(len(frame), dtype=np.int64)
    for name, f in fields.items():
        if f.kind is Kind.NUMERIC:
            values = frame[name].to_numpy()
            sentinel = (values == -1) & (f.low > -1)
            outside = ((values < f.low) | (values > f.high)) & ~sentinel
            quarantine.cells(frame, name, sentinel, "sentinel -1")
            quarantine.cells(frame, name, outside, f"outside {f.low:g}..{f.high:g}")
            frame[name] = np.where(sentinel | outside, np.nan, values)
            wrong += outside
        elif f.kind is Kind.ORDINAL:
            unknown = frame[name].notna().to_numpy() & ~frame[name].isin(f.levels).to_numpy()
            quarantine.cells(frame, name, unknown, f"not one of {', '.join(f.levels)}")
            frame.loc[unknown, name] = None
    return wrong


def check_rows(frame: pd.DataFrame, wrong: NDArray[np.int64], quarantine: Quarantine) -> pd.DataFrame:
    """Rules across columns: shifted rows go, key-value heads beyond the heads are blanked, odd head sizes flagged."""
    shifted = wrong >= SHIFTED
    quarantine.cells(frame, "modelId", shifted, f"shifted row ({SHIFTED} or more wrong values)", "row set aside")
    frame = frame[~shifted].reset_index(drop=True)
    heads = _column(frame, "config_num_attention_heads")
    kv = _column(frame, "config_num_key_value_heads")
    over = kv > heads
    quarantine.cells(frame, "config_num_key_value_heads", over, "more key-value heads than heads")
    if over.any():
        frame.loc[over, "config_num_key_value_heads"] = np.nan
    hidden = _column(frame, "config_hidden_size")
    # heads of a stated size of their own need not divide the hidden size
    odd = (np.nan_to_num(np.mod(hidden, heads)) != 0) & np.isnan(_column(frame, "config_head_dimension"))
    quarantine.cells(frame, "config_num_attention_heads", odd, "hidden size not divisible by heads", "kept, flagged")
    return frame


def _column(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return frame[name].to_numpy(dtype=np.float64) if name in frame else np.full(len(frame), np.nan)
