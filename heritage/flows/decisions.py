"""Decisions of the gate: what each follows from under `repairs/<plan hash>/`, and an MLflow run that tells it.

plan.json  labelled.npz  unlabelled.npz  guard.npz   what a repaired version is made from
evidence.json  report.html                           what the decision rests on
decision.json                                        written last: a plan with a decision is complete
run                                                  id of the MLflow run
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from heritage.errors import NotFound
from heritage.flows import news
from heritage.flows.context import Context
from heritage.names import check_digest
from heritage.registry import RunRecord
from heritage.repair.evidence import Evidence
from heritage.repair.gate import GateDecision
from heritage.rows import Rows, from_npz, to_npz

PLAN_TAG, MODEL_TAG = "heritage.plan", "heritage.model"
# what the next task has to know; everything else is in storage
_SHORT = ("model", "window", "champion", "address", "plan", "decision", "reason", "rung", "run", "dry_run")


def verdict_fields(decision: GateDecision) -> dict[str, Any]:
    """The gate's figures and reasons as they stand in decision.json."""
    figures = {k: v for k, v in asdict(decision).items() if k != "reasons"}
    return {"reasons": list(decision.reasons), "gate": {**figures, "gain": decision.gain}}


def short(result: Mapping[str, Any]) -> dict[str, Any]:
    """The few words of a decision that fit between tasks."""
    return {key: result[key] for key in _SHORT if key in result}


def store(
    ctx: Context,
    result: Mapping[str, Any],
    evidence: Evidence,
    plan: str = "",
    rows: Mapping[str, Rows | None] | None = None,
) -> None:
    """Write a decision under its hash; a second time changes nothing."""
    from heritage.reports.repair_report import repair_report

    base = _base(result["plan"])
    for part, some in (rows or {}).items():
        if some is not None:
            ctx.store.create(f"{base}{part}.npz", to_npz(some))
    if plan:
        ctx.store.create(f"{base}plan.json", plan.encode())
    ctx.store.create(f"{base}evidence.json", evidence.to_json().encode())
    ctx.store.create(f"{base}report.html", repair_report(result, evidence, plan).encode())
    ctx.store.create(f"{base}decision.json", json.dumps(result, sort_keys=True, allow_nan=False).encode())
    news.decided(ctx, result)


def decision(ctx: Context, plan_hash: str) -> dict[str, Any]:
    """What was decided under this hash; `NotFound` where nothing was."""
    found: dict[str, Any] = json.loads(read(ctx, plan_hash, "decision.json"))
    return found


def read(ctx: Context, plan_hash: str, name: str) -> bytes:
    """One of the decision's files; `NotFound` where it is not there."""
    return ctx.store.get(f"{_base(plan_hash)}{name}")


def rows_of(ctx: Context, plan_hash: str, part: str) -> Rows | None:
    """Rows that were stored with the plan: 'labelled', 'unlabelled' or 'guard'; None where there were none."""
    try:
        return from_npz(read(ctx, plan_hash, f"{part}.npz"), f"{part} rows of plan {plan_hash[:12]}")
    except NotFound:
        return None


def record(ctx: Context, plan_hash: str) -> str:
    """Id of the MLflow run that tells this decision: parameters, metrics, curves, report. One run, however often."""
    result = decision(ctx, plan_hash)
    files = {name: data for name in ("plan.json", "evidence.json", "report.html", "decision.json")
             if (data := _optional(ctx, plan_hash, name)) is not None}  # fmt: skip
    evidence = Evidence.from_json(files["evidence.json"].decode(), f"evidence of plan {plan_hash[:12]}")
    wanted = RunRecord(
        name=f"{result.get('kind', 'repair')} {result['model']} {result['window']}",
        tags={PLAN_TAG: plan_hash, MODEL_TAG: result["model"]},
        params=_params(result),
        metrics=_metrics(result, evidence),
        series=_series(evidence),
        files=files,
    )
    return ctx.registry.record_run(f"{_base(plan_hash)}run", wanted)


def _params(result: Mapping[str, Any]) -> dict[str, str]:
    names = ("model", "champion", "address", "window", "decision", "rung", "seed", "plan")
    found = {name: str(result[name]) for name in names if result.get(name) not in (None, "")}
    shares = {f"share {label}": f"{share:.6g}" for label, share in result.get("coefficients", {}).items()}
    return {**found, "rows": str(result["gate"]["rows"]), **shares}


def _metrics(result: Mapping[str, Any], evidence: Evidence) -> dict[str, float]:
    gate = result["gate"]
    found = {name: float(gate[name]) for name in ("before", "after", "gain", "p", "fixed", "broken", "detectable")}
    if (rollback := result.get("rollback")) is not None:
        found["rollback"] = rollback["accuracy"]
    for name, part in (("current", evidence.current), ("original", evidence.original)):
        if part is not None:
            found |= {f"nll_before_{name}": part.nll_before, f"nll_after_{name}": part.nll_after}
    if gate["original_gain"] is not None:
        found["original_gain"] = float(gate["original_gain"])
    return {name: value for name, value in found.items() if value == value}


def _series(evidence: Evidence) -> dict[str, list[tuple[int, float]]]:
    """NLL along each line that begins at the champion; steps are thousandths of the way to the donor."""
    return {
        f"nll along {curve.donor}": [(round(1000 * x), nll) for x, nll in curve.points]
        for curve in evidence.curves
        if not curve.start
    }


def _optional(ctx: Context, plan_hash: str, name: str) -> bytes | None:
    try:
        return read(ctx, plan_hash, name)
    except NotFound:
        return None


def _base(plan_hash: str) -> str:
    return f"repairs/{check_digest(plan_hash)}/"
