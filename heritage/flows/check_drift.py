"""Judge the new windows of a deployed version, record the verdicts, and say whether a repair is called for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import numpy as np

from heritage.drift.performance import PerformanceVerdict, check_performance, estimate_accuracy
from heritage.drift.profile import DriftProfile
from heritage.drift.verdict import Verdict, check, triggered
from heritage.drift.window import Window
from heritage.errors import NotFound
from heritage.flows import judgements, late_labels, news, story, windows
from heritage.flows.context import Context
from heritage.flows.drift_rules import rules_of
from heritage.flows.health import drift_of_ancestors
from heritage.flows.judgements import Pending, mark_repair_started, repair_started, verdict_key, verdicts
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.profiles import profile_of, reference_of
from heritage.names import printable
from heritage.records import ModelVersion
from heritage.rows import Rows

__all__ = ["deployed", "mark_repair_started", "plan", "repair_started", "run", "verdict_key", "verdicts"]

DRIFT_TAG = "heritage.drift"
TIMELINE = "heritage/drift/timeline.png"
SHOWN_WINDOWS = 48
# windows that are looked back upon for those that are conclusive, as a multiple of `windows_looked_at`
_PATIENCE = 8


@dataclass(frozen=True, slots=True)
class _Check:
    """One version's check: what it is judged by."""

    ctx: Context
    version: ModelVersion
    profile: DriftProfile


def deployed(ctx: Context, model: str = "") -> list[str]:
    """Addresses of all versions that carry the alias champion, or of that of one model."""
    if model:
        return [ctx.registry.version(f"{model}@champion").address]
    return sorted(v.address for v in ctx.registry.versions() if "champion" in v.aliases and v.digest)


def plan(ctx: Context, version: ModelVersion, until: datetime | None = None) -> list[Pending]:
    """Windows of `version` to be judged, oldest first. Reads names only."""
    return judgements.pending(ctx, version, until)


def run(ctx: Context, address: str, dry_run: bool = False, until: datetime | None = None) -> dict[str, Any]:
    """Judge what is pending and tell the newest verdict; a second run without new objects changes nothing.

    With `until`, windows that begin then or later are left alone, so that a run for a past hour judges that hour.
    `triggered` stays true until a repair was started for the newest window, so that an alarm survives a killed task;
    windows that were overtaken by a later verdict trigger nothing. A version without a drift profile is `insufficient`.
    """
    version = ctx.registry.version(address)
    pending, reason = plan(ctx, version, until), ""
    if pending and not dry_run:
        try:
            checked = _Check(ctx, version, profile_of(ctx, version))
        except NotFound as error:
            pending, reason = [], printable(str(error), 500)
        else:
            _judge_all(checked, pending)
            story.tell(ctx, version.address)
    own = ctx.settings.drift.for_model(version.name)
    looked_back = islice(judgements.newest_first(ctx, version, until), _PATIENCE * own.windows_looked_at)
    history = [*looked_back][::-1]
    newest = history[-1] if history else None
    window = newest.window if newest else ""
    return {
        "model": version.name,
        "version": version.version,
        "address": version.address,
        "window": window,
        "status": newest.status if newest else "insufficient",
        "moved": list(newest.moved) if newest else [],
        "muted": newest.muted if newest else False,
        "reason": reason,
        "judged": [p.window for p in pending],
        "ancestors": ancestors(ctx, version, window) if newest else {},
        "triggered": bool(window) and not dry_run and _calls(ctx, version, history),
        "dry_run": dry_run,
    }


def ancestors(ctx: Context, version: ModelVersion, window: str) -> dict[str, Any]:
    """How far the window lies from what each ancestor was trained on, by address; {} where that was not asked.

    `status` and `effect` of the ancestor's own verdict on the rows, `generation` (1: parent), `problem`.
    """
    found = judgements.stored(ctx, version, window)
    return {} if found is None else dict(found.get("ancestors", {}))


def _calls(ctx: Context, version: ModelVersion, history: Sequence[Verdict]) -> bool:
    own, window = ctx.settings.drift.for_model(version.name), history[-1].window
    if not triggered(history, own.windows_needed, own.windows_looked_at, own.trigger_effect):
        return False
    overtaken = windows.listed(ctx, version, "verdicts")[-1] != window
    return not overtaken and not repair_started(ctx, version, window)


def _judge_all(checked: _Check, pending: Sequence[Pending]) -> None:
    ctx, version = checked.ctx, checked.version
    worth_showing = [_judge(checked, part).status in ("warning", "drift") for part in pending]
    newest = next(judgements.newest_first(ctx, version))
    # late rows of an old window must not hide what the newest one says
    ctx.registry.set_tag(version, DRIFT_TAG, f"{newest.status}:{newest.window}")
    if any(worth_showing):
        from heritage.reports.plots import timeline_plot

        shown = [*islice(judgements.newest_first(ctx, version), SHOWN_WINDOWS)][::-1]
        effect = ctx.settings.drift.for_model(version.name).trigger_effect
        ctx.registry.put_artifact(version, TIMELINE, timeline_plot(shown, effect))


def _judge(checked: _Check, part: Pending) -> Verdict:
    ctx, version, profile = checked.ctx, checked.version, checked.profile
    window = Window.empty(profile)
    for key in part.counters:
        window = window.merge(Window.from_bytes(profile, ctx.store.get(key), key))
    # late labels are joined to the answers that were given, which need not be computed again
    kept = windows.read_rows(ctx, version, [part.window], late=False)
    rules = rules_of(ctx.settings.drift.for_model(version.name))
    verdict = check(profile, window, rules, _performance(checked, part, kept.labelled), part.window)
    record: dict[str, Any] = {"verdict": verdict.record()}
    if verdict.status in ("warning", "drift"):
        _report(checked, kept.inputs, window, verdict)
    if verdict.status == "drift" and kept.inputs is not None:
        record["ancestors"] = drift_of_ancestors(ctx, version, kept.inputs)
    before = judgements.stored(ctx, version, part.window)
    record["revision"] = before.get("revision", 0) + 1 if before else 0
    _log_metrics(checked, verdict, record["revision"])
    judgements.store(ctx, version, part, record)
    news.judged(ctx, version, verdict)
    return verdict


def _performance(checked: _Check, part: Pending, labelled: Rows | None) -> PerformanceVerdict | None:
    """From rows that came with labels, and from predictions whose labels came later; with predictions alone, the
    estimate that needs no labels.
    """
    ctx, version, reference = checked.ctx, checked.version, checked.profile.performance
    if reference is None:
        return None
    if len(part.labels_from) > 1:
        labelled = windows.read_rows(ctx, version, list(part.labels_from), late=False).labelled
    by_hand = set() if labelled is None or labelled.ids is None else {str(i) for i in labelled.ids}
    parts = [] if labelled is None else [_answered(checked, labelled)]
    logged = []
    for window in part.labels_from:
        p, y, said = late_labels.joined(ctx, version, window, by_hand)
        parts += [(p, y)] if len(y) else []
        logged += [said] if len(said) else []
    if not parts and not logged:
        return None
    classes = (parts[0][0] if parts else logged[0]).shape[1]
    p = np.concatenate([np.empty((0, classes), np.float32), *(p for p, _ in parts)])
    found = check_performance(reference, p, np.concatenate([np.empty(0, np.int64), *(y for _, y in parts)]))
    # what the model says about all its rows is a better estimate than what it says about the labelled ones
    return replace(found, estimated_accuracy=estimate_accuracy(reference, np.concatenate(logged))) if logged else found


def _answered(checked: _Check, labelled: Rows) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    from heritage.weights.network import probabilities

    assert labelled.y is not None
    ctx, version = checked.ctx, checked.version
    said = probabilities(network_of(ctx, manifest_of(ctx, version), state_of(ctx, version)), labelled.x)
    finite = np.isfinite(said).all(axis=1)  # a row that lacks a value has no answer to be right or wrong
    return said[finite], labelled.y[finite]


def _report(checked: _Check, inputs: Rows | None, window: Window, verdict: Verdict) -> None:
    """A page as an artifact of the version's run: Evidently's where rows are kept (5 to 7 CPU s at 64 columns), else
    one drawn from the profile and the counters.
    """
    from heritage.drift.columns import input_frame
    from heritage.reports.evidently_report import drift_report_html
    from heritage.reports.verdict_report import verdict_report

    ctx, version, profile = checked.ctx, checked.version, checked.profile
    reference = reference_of(ctx, version)
    if inputs is not None and reference is not None:
        page = drift_report_html(input_frame(reference.x), input_frame(inputs.x), profile)
    else:
        title = f"Drift of {version.address}, {verdict.window}"
        newest = islice(judgements.newest_first(ctx, version), SHOWN_WINDOWS)
        history = [v for v in [*newest][::-1] if v.window < verdict.window]
        page = verdict_report(profile, window, verdict, title=title, history=[*history, verdict]).encode()
    ctx.registry.put_artifact(version, f"heritage/drift/{verdict.window}.html", page)


def _log_metrics(checked: _Check, verdict: Verdict, revision: int) -> None:
    """One point a window on time series of the version's run; the same judgement again is the same point."""
    step, at = _place(checked, verdict.window)
    figures = {
        "drift_effect": verdict.effect,
        "drifted_columns": float(len(verdict.drifted_columns)),
        "window_rows": float(verdict.rows),
    }
    if (performance := verdict.performance) is not None:
        if performance.current is not None:
            figures["window_accuracy"] = performance.current.accuracy
            figures["window_log_loss"] = performance.current.log_loss
            figures["window_labels"] = float(performance.labels)
        if performance.estimated_accuracy is not None:
            figures["window_accuracy_estimate"] = performance.estimated_accuracy
    for name, value in figures.items():
        checked.ctx.registry.log_metric(checked.version, name, value, step, at + timedelta(milliseconds=revision))


def _place(checked: _Check, window: str) -> tuple[int, datetime]:
    """Step and time of a window's metrics: hours since 1970 for ids that tell the time, else its place in order."""
    start = windows.start_of(window)
    if start is not None:
        return int(start.timestamp() // 3600), start
    step = windows.listed(checked.ctx, checked.version).index(window)
    made = datetime.fromtimestamp(checked.version.created_at_ms / 1000, UTC)
    return step, made + timedelta(seconds=step)
