"""The page on one verdict, drawn from profile and window alone: no row of data is needed or shown."""

from collections.abc import Sequence
from typing import Any

from heritage.drift.comparison import ColumnVerdict
from heritage.drift.parts import Kind
from heritage.drift.performance import PerformanceVerdict
from heritage.drift.profile import DriftProfile
from heritage.drift.verdict import Verdict
from heritage.drift.window import Window
from heritage.reports import plots
from heritage.reports.html import embedded, render

MAX_PLOTS = 40

_SENTENCES = {
    "ok": "nothing differs from the reference by more than chance and a negligible effect.",
    "warning": "small but real differences, or findings about data quality.",
    "insufficient": "too few rows to tell; add them to the next window.",
    "schema": "columns are missing or of another type; mend the data before judging drift.",
}
_MEASURES = (
    ("Accuracy", "accuracy"),
    ("Log loss", "log_loss"),
    ("Brier score", "brier"),
    ("AUC", "auc"),
    ("Calibration error", "calibration_error"),
)


def verdict_report(
    profile: DriftProfile, window: Window, verdict: Verdict, *, title: str, history: Sequence[Verdict] = ()
) -> str:
    """An HTML page: verdict, findings, table of all columns, pictures of the 40 with the largest effects.

    `history` (oldest first, this verdict last) adds a timeline.
    """
    columns = sorted(verdict.columns.items(), key=_importance)
    pictures = _pictures(profile, window, [name for name, _ in columns[:MAX_PLOTS]])
    return render(
        "verdict.html",
        title=title,
        verdict=verdict,
        summary=_summary(verdict),
        signature=profile.signature,
        reference_rows=profile.rows,
        columns=columns,
        findings=_findings(verdict),
        performance=_performance(verdict.performance),
        plots=[(name, _told(column), pictures[name]) for name, column in columns[:MAX_PLOTS]],
        left_out=max(0, len(columns) - MAX_PLOTS),
        timeline=embedded(plots.timeline_plot(history)) if history else "",
    )


def _told(column: ColumnVerdict) -> str:
    """The level as the page says it: that of a column that raises no alarm says nothing."""
    return column.level if column.judged else "not judged"


def _importance(item: tuple[str, ColumnVerdict]) -> tuple[int, bool, float]:
    order = ("drift", "warning", "ok", "insufficient")
    return order.index(item[1].level), not item[1].judged, -item[1].effect


def _pictures(profile: DriftProfile, window: Window, names: list[str]) -> dict[str, str]:
    wanted, found = set(names), {}
    for column in profile.columns:
        counts, start = window.cells(column), 0
        for part in column.parts:
            if part.name in wanted:
                some = counts[start : start + len(part.reference)]
                instants = column.kind is Kind.DATETIME and part.edges is not None
                found[part.name] = embedded(plots.column_plot(part, some, instants))
            start += len(part.reference)
    return found


def _summary(verdict: Verdict) -> str:
    if verdict.status != "drift":
        return _SENTENCES[verdict.status]
    n = len(verdict.drifted_columns)
    what = f"; {n} of {len(verdict.columns)} columns" if n else ""
    return f"{', '.join(verdict.moved)} moved{what}."


def _findings(verdict: Verdict) -> list[str]:
    found = []
    for name, kinds in verdict.quality.get("columns", {}).items():
        for kind, figures in kinds.items():
            found.append(f"{name}: {_in_words(kind, figures)}")
    for name, rows in verdict.quality.get("unknown_columns", {}).items():
        found.append(f"{name}: not a column of the reference, in {rows} rows")
    if lost := verdict.quality.get("lost_rows"):
        found.append(f"{lost} rows were dropped before they were counted")
    if repeated := verdict.quality.get("repeated_rows"):
        found.append(
            f"only about {repeated['distinct']} of {repeated['rows']} rows differ; repeated rows are no evidence"
        )
    return found


def _in_words(kind: str, figures: dict[str, float]) -> str:
    if "rows" in figures:
        return {"absent": "no such column", "mistyped": "values of another type"}[kind] + f" in {figures['rows']} rows"
    return f"{kind} values {100 * figures['reference']:.1f} % -> {100 * figures['current']:.1f} %"


def _performance(verdict: PerformanceVerdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    now = verdict.current
    sentences = {
        "ok": f"No worse than on the reference, by {verdict.labels} labels.",
        "drift": f"Worse than on the reference, by {verdict.labels} labels (p = {verdict.p:.2g}).",
        "insufficient": f"{verdict.labels} labels are too few to tell.",
    }
    rows = [(words, getattr(verdict.reference, key), now and getattr(now, key)) for words, key in _MEASURES]
    estimate = [("Accuracy, estimated without labels", None, verdict.estimated_accuracy)]
    return {"sentence": sentences[verdict.status], "rows": rows + estimate}
