"""Findings about the data: missing, mistyped, infinite, unseen and repeated values, absent and unknown columns.

They are told apart from drift because no repair of a model mends them.
"""

from typing import Any

import numpy as np

from heritage.drift import distinct, measures
from heritage.drift.parts import Column, Faults
from heritage.drift.profile import DriftProfile
from heritage.drift.rules import Rules
from heritage.drift.window import Window

MOSTLY_DISTINCT = 0.9
MIN_COLUMNS = 4  # with fewer, equal rows may as well come from rounding or from a sensor that is stuck


def independent_share(profile: DriftProfile, window: Window) -> float:
    """The part of the window's rows that counts as independent evidence, in (0, 1].

    Below 1 only where there are enough columns, the reference's rows nearly all differ and those of the window do not:
    rows that were sent or drawn repeatedly. The tolerance is three standard errors of the estimate.
    """
    few = len(profile.columns) < MIN_COLUMNS
    if few or window.rows == 0 or profile.distinct_rows < MOSTLY_DISTINCT * profile.rows:
        return 1.0
    share = window.distinct_rows / window.rows
    usual = MOSTLY_DISTINCT * (1.0 - 3.0 * distinct.RELATIVE_ERROR)
    return 1.0 if share >= usual else share


def schema_breaks(profile: DriftProfile, window: Window, rules: Rules) -> dict[str, str]:
    """Columns that are missing or of another type in more than the tolerated share of rows, each with its reason."""
    found = {}
    for column in profile.columns:
        faults, absent = window.faults(column)
        limit = rules.schema_share * window.rows
        if absent > limit:
            found[column.name] = f"missing in {absent} of {window.rows} rows"
        elif faults.mistyped > limit:
            found[column.name] = f"not {column.kind} in {faults.mistyped} of {window.rows} rows"
    return found


def findings(profile: DriftProfile, window: Window, rules: Rules, share: float) -> dict[str, Any]:
    """All findings as JSON values; parts without a finding are left out.

    `columns` {name: {finding: figures}}, `unknown_columns` {name: rows}, `repeated_rows`, `lost_rows`.
    """
    columns = {c.name: found for c in profile.columns if (found := _of_column(profile, window, c, rules, share))}
    repeated = {} if share == 1.0 else {"rows": window.rows, "distinct": window.distinct_rows}
    parts = {"columns": columns, "unknown_columns": dict(window.unknown), "repeated_rows": repeated}
    lost = {"lost_rows": window.lost} if window.lost else {}
    return {name: part for name, part in parts.items() if part} | lost


def _of_column(
    profile: DriftProfile, window: Window, column: Column, rules: Rules, share: float
) -> dict[str, dict[str, float]]:
    then, (now, absent) = column.faults, window.faults(column)
    rows = window.rows - absent
    found: dict[str, dict[str, float]] = {}
    if absent:
        found["absent"] = {"rows": absent}
    if now.mistyped:
        found["mistyped"] = {"rows": now.mistyped}
    level = rules.alpha / len(profile.columns)
    pairs = {
        "missing": (then.missing, now.missing),
        "infinite": (_infinite(then), _infinite(now)),
        "unseen": (0, _unseen(window, column)),
    }
    for name, (before, after) in pairs.items():
        change = abs(after / max(rows, 1) - before / profile.rows)
        p = _p_of_shares(before, profile.rows, after, rows, share)
        if p <= level and change > rules.quality_effect:
            found[name] = {"reference": before / profile.rows, "current": after / rows, "p": p}
    return found


def _infinite(faults: Faults) -> int:
    return faults.infinite_low + faults.infinite_high


def _unseen(window: Window, column: Column) -> int:
    part = column.parts[0]
    return 0 if part.edges is not None else int(window.cells(column)[part.known_cells :].sum())


def _p_of_shares(before: int, m: int, after: int, n: int, share: float) -> float:
    if before == after == 0:
        return 1.0
    return measures.chi_square(np.array([after, n - after]), np.array([before, m - before]), share)
