"""Evidently's drift report from rows, made safe: the only importer of Evidently.

Evidently 0.7.23 raises on NaN-only and empty columns and on infinities, reads a column's kind from its values, and
writes names and levels into a script element as they are. Hence columns are chosen and typed by the profile, infinities
become missing, columns without values are left out, far outliers are drawn in, rare levels are put together, and angle
brackets are replaced. A content security policy keeps the page from loading anything.
"""

from typing import Any

import numpy as np
import pandas as pd

from heritage.drift.categorical import OTHER, level_name
from heritage.drift.parts import Kind, Part
from heritage.drift.profile import DriftProfile
from heritage.errors import BadInput
from heritage.names import printable
from heritage.reports.html import render

MAX_ROWS = 50_000
MAX_COLUMNS = 200
SEED = 7

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; connect-src 'none'; base-uri 'none'; form-action 'none'"
)
_HEAD = "<head>"
_BRACKETS = str.maketrans({"<": "‹", ">": "›"})


def drift_report_html(reference: pd.DataFrame, current: pd.DataFrame, profile: DriftProfile) -> bytes:
    """The report as one HTML file that loads nothing; PSI of every column that both frames have values for.

    Above 50,000 rows a fixed sample is taken, above 200 columns the first are shown: Evidently keeps all in memory.
    Where nothing can be compared, a page that says so.
    """
    numbers, levels = _comparable(reference, current, profile)
    if not numbers and not levels:
        return render("nothing.html", rows=len(current), columns=len(profile.columns)).encode()
    names = _safe_names(numbers + levels)
    then, now = (_prepared(frame, profile, numbers, levels).rename(columns=names) for frame in (reference, current))
    page = _run(then, now, [names[n] for n in numbers], [names[n] for n in levels])
    if _HEAD not in page:
        raise BadInput("Evidently's page has no head element; this heritage knows version 0.7, check what is installed")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    return page.replace(_HEAD, _HEAD + policy, 1).encode()


def _run(reference: pd.DataFrame, current: pd.DataFrame, numbers: list[str], levels: list[str]) -> str:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=numbers, categorical_columns=levels)
    now, then = (Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference))
    report = Report([DataDriftPreset(num_method="psi", cat_method="psi")])
    with np.errstate(divide="ignore", invalid="ignore"):  # it correlates columns that do not vary, too
        return str(report.run(now, then).get_html_str(as_iframe=False))  # current comes first


def _comparable(reference: pd.DataFrame, current: pd.DataFrame, profile: DriftProfile) -> tuple[list[str], list[str]]:
    """Numeric columns and columns of levels that have usable values on both sides."""
    numbers, levels = [], []
    for name, kind in list(profile.schema.items())[:MAX_COLUMNS]:
        if kind == Kind.DATETIME or not all(name in frame.columns for frame in (reference, current)):
            continue
        if kind == Kind.NUMERIC and all(_numbers(frame[name]).notna().any() for frame in (reference, current)):
            numbers.append(name)
        if kind != Kind.NUMERIC and all(frame[name].notna().any() for frame in (reference, current)):
            levels.append(name)
    return numbers, levels


def _prepared(frame: pd.DataFrame, profile: DriftProfile, numbers: list[str], levels: list[str]) -> pd.DataFrame:
    kept = frame if len(frame) <= MAX_ROWS else frame.sample(MAX_ROWS, random_state=SEED)
    columns = {name: _near(_numbers(kept[name]), profile.parts[name]) for name in numbers}
    columns |= {name: _levels(kept[name], profile.parts[name]) for name in levels}
    return pd.DataFrame(columns).reset_index(drop=True)


def _near(numbers: "pd.Series[Any]", part: Part) -> "pd.Series[Any]":
    """Numbers at most one span beyond the reference's ends: equal bins over everything would show outliers only."""
    assert part.edges is not None
    low, high = (part.edges[0], part.edges[-1]) if len(part.edges) else (0.0, 0.0)
    room = (high - low) or max(abs(low), 1.0)
    return numbers.clip(low - room, high + room)


def _numbers(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Finite numbers; everything else is missing."""
    from heritage.drift.numeric import numbers_of

    values, _ = numbers_of(column)
    wide = values.astype(np.float64)
    return pd.Series(np.where(np.isfinite(wide), wide, np.nan), index=column.index)


def _levels(column: "pd.Series[Any]", part: Part) -> "pd.Series[Any]":
    """Levels by name; the rare ones of the reference together, and those that it does not know."""
    own = {label for label in part.labels if not label.startswith(OTHER)}
    rest = "other levels" if len(own) < len(part.labels) - 1 else "unseen"
    return column.astype(object).map(lambda v: _safe(n) if (n := level_name(v)) in own else rest, na_action="ignore")


def _safe(text: str) -> str:
    return printable(text).translate(_BRACKETS)


def _safe_names(names: list[str]) -> dict[str, str]:
    """A different safe name for each."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        base, n = _safe(name), 2
        safe = base
        while safe in taken:
            safe, n = f"{base} ({n})", n + 1
        taken.add(safe)
        found[name] = safe
    return found
