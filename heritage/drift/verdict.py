"""The verdict on a window: its status, and which of input, prediction and performance moved."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from heritage.drift import quality
from heritage.drift.comparison import Circumstances, ColumnVerdict, compare
from heritage.drift.measures import NAN
from heritage.drift.parts import Column, Family
from heritage.drift.performance import PerformanceVerdict
from heritage.drift.profile import DriftProfile
from heritage.drift.rules import ColumnRule, Rules
from heritage.drift.window import Window
from heritage.errors import BadInput

__all__ = ["STATUSES", "ColumnRule", "ColumnVerdict", "Rules", "Verdict", "check", "triggered"]

STATUSES = ("ok", "warning", "drift", "insufficient", "schema")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a window says about its model.

    `status`: `schema` when columns are missing or of another type; else `drift` when a column or the performance
    moved; else `insufficient` when there are too few rows to tell; else `warning` for small effects and for findings
    about data quality; else `ok`. `columns` by name, in the profile's order. `schema` gives a reason for each broken
    column. `window` is the id it was judged for; a `muted` verdict triggers nothing.
    """

    status: str
    rows: int
    columns: Mapping[str, ColumnVerdict]
    quality: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, str] = field(default_factory=dict)
    performance: PerformanceVerdict | None = None
    window: str = ""
    muted: bool = False

    @property
    def drifted_columns(self) -> tuple[str, ...]:
        """Names of the drifted columns."""
        return tuple(name for name, column in self.columns.items() if column.drifted)

    @property
    def moved(self) -> tuple[str, ...]:
        """Which of 'input', 'prediction' and 'performance' moved."""
        families = {self.columns[name].family for name in self.drifted_columns}
        found = {
            "input": Family.INPUT in families,
            "prediction": Family.OUTPUT in families,
            "performance": self.performance is not None and self.performance.moved,
        }
        return tuple(name for name, moved in found.items() if moved)

    @property
    def effect(self) -> float:
        """Largest effect of a drifted column; 0 where there is none."""
        return max((self.columns[name].effect for name in self.drifted_columns), default=0.0)

    def measures(self) -> dict[str, dict[str, float]]:
        """Defined figures of each column by name, as lineage edges keep them: psi, psi_debiased, kl, js, ks."""
        return {
            name: {
                key: value
                for key, value in (
                    ("psi", c.psi),
                    ("psi_debiased", c.psi_debiased),
                    ("kl", c.kl),
                    ("js", c.js),
                    ("ks", c.ks.low),
                )
                if value == value  # NaN: not defined
            }
            for name, c in self.columns.items()
        }

    def to_json(self) -> dict[str, Any]:
        """The public form: verdict, n, columns, quality, performance; JSON values, NaN as None."""
        return {
            "verdict": self.status,
            "n": self.rows,
            "columns": {name: column.to_json() for name, column in self.columns.items()},
            "quality": {**self.quality, **({"schema": dict(self.schema)} if self.schema else {})},
            "performance": {} if self.performance is None else self.performance.to_json(),
        }

    def record(self) -> dict[str, Any]:
        """Everything as JSON values, for `from_record`."""
        return {
            "status": self.status,
            "rows": self.rows,
            "columns": {name: column.record() for name, column in self.columns.items()},
            "quality": dict(self.quality),
            "schema": dict(self.schema),
            "performance": self.performance and asdict(self.performance),
            "window": self.window,
            "muted": self.muted,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str) -> "Verdict":
        """A verdict from its record; `BadInput` naming `where` for anything else."""
        try:
            if record["status"] not in STATUSES:
                raise ValueError(f"status {record['status']!r} does not exist")
            return cls(
                record["status"],
                int(record["rows"]),
                {name: ColumnVerdict.from_record(column) for name, column in record["columns"].items()},
                dict(record["quality"]),
                dict(record["schema"]),
                None if record["performance"] is None else PerformanceVerdict.from_record(record["performance"]),
                str(record["window"]),
                bool(record["muted"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInput(f"{where}: not the record of a verdict ({error!r}); check the window again") from error


def check(
    profile: DriftProfile,
    window: Window,
    rules: Rules | None = None,
    performance: PerformanceVerdict | None = None,
    window_id: str = "",
) -> Verdict:
    """The verdict on `window` against its `profile`; cost is that of the cells, whatever the number of rows."""
    rules = rules or Rules()
    share = quality.independent_share(profile, window)
    broken = quality.schema_breaks(profile, window, rules)
    columns = _compare_all(profile, window, rules, share)
    found = quality.findings(profile, window, rules, share)
    return Verdict(
        _status(columns, broken, found, performance),
        window.rows,
        columns,
        found,
        broken,
        performance,
        window_id,
        rules.mutes_window(window_id),
    )


def triggered(history: Sequence[Verdict], k: int = 2, m: int = 3, effect: float = 0.2) -> bool:
    """Whether at least `k` of the last `m` conclusive verdicts (oldest first) call for a repair.

    A verdict calls for one when it is drift with an effect of at least `effect`, or when performance moved.
    Insufficient and muted windows are passed over.
    """
    conclusive = [v for v in history if v.status != "insufficient" and not v.muted]
    return sum(_calls_for_repair(v, effect) for v in conclusive[-m:]) >= k


def _calls_for_repair(verdict: Verdict, effect: float) -> bool:
    return verdict.status == "drift" and (verdict.effect >= effect or "performance" in verdict.moved)


def _compare_all(profile: DriftProfile, window: Window, rules: Rules, share: float) -> dict[str, ColumnVerdict]:
    judged = dict.fromkeys(Family, 0)
    for column in profile.columns:
        judged[column.family] += sum(rules.judges(part.name, part.judged) for part in column.parts)
    found = {}
    for column in profile.columns:
        given = Circumstances(column.family, judged[column.family], share, _scale(column), window.span_s(column))
        counts, start = window.cells(column), 0
        for part in column.parts:
            size = len(part.reference)
            found[part.name] = compare(part, counts[start : start + size], rules, given)
            start += size
    return found


def _scale(column: Column) -> float:
    """Standard deviation of the reference, or NaN."""
    return NAN if column.moments is None else float(column.moments.variance) ** 0.5


def _status(
    columns: Mapping[str, ColumnVerdict],
    broken: Mapping[str, str],
    found: Mapping[str, Any],
    performance: PerformanceVerdict | None,
) -> str:
    levels = {column.level for column in columns.values() if column.judged}
    if broken:
        return "schema"
    if "drift" in levels or (performance is not None and performance.moved):
        return "drift"
    if levels <= {"insufficient"}:
        return "insufficient"
    return "warning" if "warning" in levels or found.get("columns") else "ok"
