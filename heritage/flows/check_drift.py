"""Judge the new windows of a deployed version, record the verdicts, and say whether a repair is called for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from heritage.drift.performance import PerformanceVerdict, check_performance
from heritage.drift.profile import DriftProfile
from heritage.drift.verdict import Verdict, check, triggered
from heritage.drift.window import Window
from heritage.errors import NotFound
from heritage.flows import windows
from heritage.flows.context import Context
from heritage.flows.health import drift_rules
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.profiles import profile_of, reference_of
from heritage.records import ModelVersion
from heritage.rows import Rows

DRIFT_TAG = "heritage.drift"


@dataclass(frozen=True, slots=True)
class Pending:
    """A window whose objects changed since it was judged (or that never was)."""

    window: str
    counters: tuple[str, ...]
    sources: str


def deployed(ctx: Context, model: str = "") -> list[str]:
    """Addresses of all versions that carry the alias champion, or of that of one model."""
    if model:
        return [ctx.registry.version(f"{model}@champion").address]
    return sorted(v.address for v in ctx.registry.versions() if "champion" in v.aliases and v.digest)


def plan(ctx: Context, version: ModelVersion) -> list[Pending]:
    """Windows of `version` to be judged, oldest first. Reads names only, and the verdicts that are there."""
    found = []
    for window in windows.listed(ctx, version):
        counters = tuple(sorted(ctx.store.list(windows.prefix("windows", version, window))))
        labels = tuple(ctx.store.list(windows.prefix("rows", version, window)))
        sources = windows.sources_digest([*counters, *labels])
        stored = _stored(ctx, version, window)
        if stored is None or stored["sources"] != sources:
            found.append(Pending(window, counters, sources))
    return found


def run(ctx: Context, address: str, dry_run: bool = False) -> dict[str, Any]:
    """Judge what is pending and tell the newest verdict; a second run without new objects changes nothing.

    `triggered` stays true until a repair was started for the newest window, so that an alarm survives a killed task.
    """
    version = ctx.registry.version(address)
    pending = plan(ctx, version)
    if not dry_run:
        profile = profile_of(ctx, version)
        for part in pending:
            _judge(ctx, version, profile, part)
    history = verdicts(ctx, version)
    newest = history[-1] if history else None
    window = newest.window if newest else ""
    return {
        "model": version.name,
        "version": version.version,
        "address": version.address,
        "window": window,
        "status": newest.status if newest else "insufficient",
        "moved": list(newest.moved) if newest else [],
        "judged": [p.window for p in pending],
        "triggered": bool(window) and not dry_run and _calls(ctx, history) and not repair_started(ctx, version, window),
        "dry_run": dry_run,
    }


def verdicts(ctx: Context, version: ModelVersion) -> list[Verdict]:
    """All verdicts on `version`, oldest window first."""
    found = [_stored(ctx, version, window) for window in windows.listed(ctx, version)]
    return [Verdict.from_record(r["verdict"], f"verdict on {version.address}") for r in found if r is not None]


def verdict_key(version: ModelVersion, window: str) -> str:
    """Where the verdict on a window lies."""
    return f"{windows.prefix('verdicts', version, window)}verdict.json"


def mark_repair_started(ctx: Context, version: ModelVersion, window: str) -> None:
    """Note that the alarm on this window was heard."""
    ctx.store.create(f"{windows.prefix('alarms', version, window)}heard", b"")


def repair_started(ctx: Context, version: ModelVersion, window: str) -> bool:
    """Whether the alarm on this window was heard."""
    return ctx.store.exists(f"{windows.prefix('alarms', version, window)}heard")


def _calls(ctx: Context, history: Sequence[Verdict]) -> bool:
    own = ctx.settings.drift
    return triggered(history, own.windows_needed, own.windows_looked_at, own.trigger_effect)


def _stored(ctx: Context, version: ModelVersion, window: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(ctx.store.get(verdict_key(version, window)))
    except NotFound:
        return None
    return found


def _judge(ctx: Context, version: ModelVersion, profile: DriftProfile, part: Pending) -> None:
    window = Window.empty(profile)
    for key in part.counters:
        window = window.merge(Window.from_bytes(profile, ctx.store.get(key), key))
    kept = windows.read_rows(ctx, version, [part.window])
    performance = None if kept.labelled is None else _performance(ctx, version, profile, kept.labelled)
    verdict = check(profile, window, drift_rules(ctx), performance, part.window)
    if verdict.status in ("warning", "drift"):
        _report(ctx, version, kept.inputs, profile, window, verdict)
    record = {"sources": part.sources, "verdict": verdict.record()}
    _publish(ctx, version, verdict)
    ctx.store.put(verdict_key(version, part.window), json.dumps(record, sort_keys=True, allow_nan=False).encode())


def _performance(
    ctx: Context, version: ModelVersion, profile: DriftProfile, labelled: Rows
) -> PerformanceVerdict | None:
    from heritage.weights.network import probabilities

    if profile.performance is None or labelled.y is None:
        return None
    network = network_of(ctx, manifest_of(ctx, version), state_of(ctx, version))
    return check_performance(profile.performance, probabilities(network, labelled.x), labelled.y)


def _report(
    ctx: Context, version: ModelVersion, inputs: Rows | None, profile: DriftProfile, window: Window, verdict: Verdict
) -> None:
    """A page as an artifact of the version's run: Evidently's where rows are kept (5 to 7 CPU s at 64 columns), else
    one drawn from the profile and the counters.
    """
    from heritage.drift.columns import input_frame
    from heritage.reports.evidently_report import drift_report_html
    from heritage.reports.verdict_report import verdict_report

    reference = reference_of(ctx, version)
    if inputs is not None and reference is not None:
        page = drift_report_html(input_frame(reference.x), input_frame(inputs.x), profile)
    else:
        title = f"Drift of {version.address}, {verdict.window}"
        history = [v for v in verdicts(ctx, version) if v.window < verdict.window]
        page = verdict_report(profile, window, verdict, title=title, history=[*history, verdict]).encode()
    ctx.registry.put_artifact(version, f"heritage/drift/{verdict.window}.html", page)


def _publish(ctx: Context, version: ModelVersion, verdict: Verdict) -> None:
    """Tag, and metrics as time series of the version's run (step: the window's place in order)."""
    ctx.registry.set_tag(version, DRIFT_TAG, f"{verdict.status}:{verdict.window}")
    step = windows.listed(ctx, version).index(verdict.window)
    figures = {"drift_effect": verdict.effect, "drifted_columns": float(len(verdict.drifted_columns))}
    if verdict.performance is not None and verdict.performance.current is not None:
        figures["window_accuracy"] = verdict.performance.current.accuracy
    for name, value in figures.items():
        ctx.registry.log_metric(version, name, value, step)
