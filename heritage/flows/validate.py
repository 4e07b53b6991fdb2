"""Any version against the champion, through the gate that repairs pass: current rows and the original domain."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput, Conflict
from heritage.flows import decisions, repair, story, windows
from heritage.flows.candidates import gate_options
from heritage.flows.context import Context
from heritage.flows.material import guard_mask, split_reference
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.profiles import reference_of
from heritage.records import ModelVersion
from heritage.registry import GATE
from heritage.repair.evidence import Evidence, compared
from heritage.repair.gate import Trial, Verdict, decide
from heritage.repair.metrics import Labels
from heritage.rows import Rows


def run(ctx: Context, address: str, window: str = "", dry_run: bool = False) -> dict[str, Any]:
    """The gate's decision on `address` against its model's champion; accepted versions become challenger.

    Only rows that no repair was tuned on are used. `plan` is a hash of what was compared, how and on what.
    """
    version = ctx.registry.version(address)
    champion = ctx.registry.version(f"{version.name}@champion")
    if champion.version == version.version:
        raise Conflict(f"{version.address} is champion already; name another version to compare with it")
    window = window or windows.newest_with_rows(ctx, champion)
    kept = windows.read_rows(ctx, champion, repair.current_windows(ctx, champion, window))
    if kept.labelled is None or kept.labelled.y is None:
        raise BadInput(f"{champion.address}: no labelled rows in window {window}; ask for labels (heritage_label)")
    rows = kept.labelled.take(guard_mask(kept.labelled, ctx.settings.repair.guard_share))
    _, reference = split_reference(ctx, reference_of(ctx, champion), len(rows))
    now, before = _said(ctx, version, rows, reference), _said(ctx, champion, rows, reference)
    trials = [Trial(b.argmax(axis=1), n.argmax(axis=1), _labels(r)) for b, n, r in _parts(before, now, rows, reference)]
    found = decide(*trials[0], trials[1] if reference is not None else None, options=gate_options(ctx))
    seen = [compared(b, n, _labels(r)) for b, n, r in _parts(before, now, rows, reference)]
    named = {
        "kind": "validation", "champion": champion.digest, "candidate": version.digest, "rows": rows.digest,
        "original": "" if reference is None else reference.digest, "gate": asdict(gate_options(ctx)),
    }  # fmt: skip
    plan = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()
    result = {
        "kind": "validation",
        "model": version.name,
        "address": version.address,
        "champion": champion.address,
        "window": window,
        "plan": plan,
        "decision": found.verdict.value,
        "reason": "; ".join(found.reasons),
        **decisions.verdict_fields(found),
        "dry_run": dry_run,
    }
    if not dry_run:
        _record(ctx, version, result, Evidence(seen[0], seen[1] if reference is not None else None, ()))
        result["run"] = decisions.record(ctx, plan)
    return result


def _said(ctx: Context, version: ModelVersion, rows: Rows, reference: Rows | None) -> list[NDArray[np.float64]]:
    """Probabilities of `version` on current rows, and on those of the original domain where there are any."""
    from heritage.weights.network import probabilities

    network = network_of(ctx, manifest_of(ctx, version), state_of(ctx, version))
    return [probabilities(network, part.x).astype(np.float64) for part in (rows, reference) if part is not None]


def _parts(
    before: list[NDArray[np.float64]], now: list[NDArray[np.float64]], rows: Rows, reference: Rows | None
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], Rows]]:
    return zip(before, now, [r for r in (rows, reference) if r is not None], strict=True)


def _labels(rows: Rows) -> Labels:
    assert rows.y is not None
    return rows.y


def _record(ctx: Context, version: ModelVersion, result: dict[str, Any], evidence: Evidence) -> None:
    decisions.store(ctx, result, evidence)
    for name in ("decision.json", "report.html"):
        ctx.registry.put_artifact(version, f"heritage/validation/{name}", decisions.read(ctx, result["plan"], name))
    if result["decision"] == Verdict.ACCEPT:
        ctx.registry.accept(version, result["plan"])
        ctx.registry.nominate(version)
    else:
        ctx.registry.set_tag(version, GATE, f"{result['decision']}:{result['plan']}")
    story.tell(ctx, version.address)
