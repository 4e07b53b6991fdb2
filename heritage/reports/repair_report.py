"""The page on one decision about a repair: verdict, curves, rungs, donors, and every class before and after."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heritage.names import printable
from heritage.repair.evidence import Comparison, Evidence
from heritage.repair.lines import Curve
from heritage.reports.html import render
from heritage.reports.line_chart import Line, line_chart

# matrices of more classes cannot be read; their largest confusions are listed instead
MAX_MATRIX, MAX_PAIRS = 20, 25
# what the status words of the page look like
_STATUS = {"accept": "ok", "shadow": "warning", "ask_labels": "warning", "refuse": "drift"}
_SENTENCES = {
    "accept": "The repair may become challenger; whether it becomes champion is for a person to say.",
    "shadow": "Neither shown to be better nor shown to be worse: it may run beside the champion.",
    "ask_labels": "More labelled rows are needed; people are asked for them.",
    "refuse": "Nothing changes.",
}


@dataclass(frozen=True, slots=True)
class ClassRow:
    """One class on some rows: how many there are, and the share that each model gets right."""

    name: str
    rows: int
    before: float
    after: float


def repair_report(result: Mapping[str, Any], evidence: Evidence, plan: str, classes: Sequence[str] = ()) -> str:
    """An HTML page that stands alone.

    `result` is the decision as `heritage.flows.repair.search` returns it, `plan` the plan's JSON ('' for a comparison
    without one), `classes` the names of the classes by index (default: the indexes).
    """
    names = list(classes) or [str(i) for i in range(len(evidence.current.before))]
    gate = result["gate"]
    return render(
        "repair.html",
        title=result.get("address") or result["champion"],
        result=result,
        gate=gate,
        windows=[w for w in result.get("windows") or [result.get("window", "")] if w],
        status=_STATUS[result["decision"]],
        sentence=_SENTENCES[result["decision"]],
        reasons=result["reasons"],
        figures=_figures(result, evidence),
        rungs=evidence.rungs,
        donors=_donors(result),
        rejected=result.get("rejected", {}),
        chart=line_chart(_lines(evidence.curves), "share of the donor", "NLL (nats)"),
        domains=[
            (title, per_class(part, names), _matrices(part, names), _pairs(part, names))
            for title, part in (("Current rows", evidence.current), ("Original domain", evidence.original))
            if part is not None
        ],
        left=evidence.left,
        skipped=evidence.skipped,
        passes=evidence.passes,
        plan=plan,
    )


def per_class(part: Comparison, names: Sequence[str]) -> list[ClassRow]:
    """Every class that has rows, in order of its index."""
    rows, right = part.before.sum(axis=1), (part.before.diagonal(), part.after.diagonal())
    return [
        ClassRow(names[i], int(rows[i]), *(float(r[i] / rows[i]) for r in right)) for i in range(len(rows)) if rows[i]
    ]


def _figures(
    result: Mapping[str, Any], evidence: Evidence
) -> list[tuple[str, float | None, float | None, float | None]]:
    """Measure, champion, candidate, plain rollback."""
    rollback, current = result.get("rollback"), evidence.current
    rows: list[tuple[str, float | None, float | None, float | None]] = [
        (
            "Accuracy on current rows",
            _accuracy(current.before),
            _accuracy(current.after),
            rollback and rollback["accuracy"],
        ),
        ("NLL on current rows (nats)", current.nll_before, current.nll_after, None),
    ]
    if evidence.original is not None:
        part = evidence.original
        rows += [
            ("Accuracy on the original domain", _accuracy(part.before), _accuracy(part.after), None),
            ("NLL on the original domain (nats)", part.nll_before, part.nll_after, None),
        ]
    return rows


def _accuracy(counts: "np.ndarray[Any, Any]") -> float:
    return float(np.trace(counts) / counts.sum())


def _donors(result: Mapping[str, Any]) -> list[tuple[str, float, float | None, float | None]]:
    """Label, share in the mix, accuracy on current rows, drift effect."""
    shares = result.get("coefficients", {})
    return [
        (label, float(shares.get(label, 0.0)), (health or {}).get("accuracy"), (health or {}).get("drift"))
        for label, health in result.get("donors", {}).items()
    ]


def _lines(curves: Sequence[Curve]) -> list[Line]:
    """Each line once: the search of one rung begins with lines that another has walked."""
    once = {(c.donor, tuple(sorted(c.start.items()))): c for c in curves}
    lines = [
        Line(
            printable(c.donor, 40) + (f", from {_mix(c.start)}" if c.start else ""),
            [point for point in c.points if math.isfinite(point[1])],
        )
        for c in once.values()
    ]
    return [line for line in lines if len(line.points) > 1]


def _mix(coefficients: Mapping[str, float]) -> str:
    return " + ".join(f"{a:.2f} {printable(d, 24)}" for d, a in sorted(coefficients.items()))


def _matrices(part: Comparison, names: Sequence[str]) -> list[tuple[str, list[tuple[str, list[tuple[int, float]]]]]]:
    """'before' and 'after' with rows of (count, share of the class); empty where there are too many classes."""
    if len(names) > MAX_MATRIX:
        return []
    found = []
    for title, counts in (("Champion", part.before), ("Candidate", part.after)):
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        rows = [
            (name, list(zip(row.tolist(), share.tolist(), strict=True)))
            for name, row, share in zip(names, counts, shares, strict=True)
        ]
        found.append((title, rows))
    return found


def _pairs(part: Comparison, names: Sequence[str]) -> list[tuple[str, str, int, int]]:
    """The largest confusions of both models: class, taken for, rows before, rows after."""
    if len(names) <= MAX_MATRIX:
        return []
    worst = np.maximum(part.before, part.after) * (1 - np.eye(len(names), dtype=np.int64))
    order = np.argsort(-worst, axis=None, kind="stable")[:MAX_PAIRS]
    found = [divmod(int(i), len(names)) for i in order]
    return [(names[i], names[j], int(part.before[i, j]), int(part.after[i, j])) for i, j in found if worst[i, j]]
