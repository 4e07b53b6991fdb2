"""Any version against the champion, through the gate that repairs pass: current rows and the original domain."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

import numpy as np

from heritage.errors import BadInput, Conflict
from heritage.flows import repair, windows
from heritage.flows.candidates import gate_options, guard_mask, split_reference
from heritage.flows.context import Context
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.profiles import reference_of
from heritage.records import ModelVersion
from heritage.repair.gate import Trial, decide
from heritage.repair.metrics import Labels
from heritage.rows import Rows


def run(ctx: Context, address: str, window: str = "", dry_run: bool = False) -> dict[str, Any]:
    """The gate's decision on `address` against its model's champion; accepted versions become challenger.

    Only rows that no repair was tuned on are used. `plan` is a hash of what was compared on which rows.
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
    current = _trial(ctx, champion, version, rows)
    _, reference = split_reference(ctx, reference_of(ctx, champion), len(rows))
    original = None if reference is None else _trial(ctx, champion, version, reference)
    found = decide(*current, original, options=gate_options(ctx))
    compared = {"kind": "validation", "champion": champion.digest, "candidate": version.digest, "rows": rows.digest}
    plan = hashlib.sha256(json.dumps(compared, sort_keys=True).encode()).hexdigest()
    result = {
        "model": version.name,
        "address": version.address,
        "champion": champion.address,
        "window": window,
        "plan": plan,
        "decision": found.verdict.value,
        "reason": " ".join(found.reasons),
        "gate": {**{k: v for k, v in asdict(found).items() if k != "reasons"}, "gain": found.gain},
        "dry_run": dry_run,
    }
    if not dry_run:
        _record(ctx, version, plan, result, found.accepted)
    return result


def _trial(ctx: Context, champion: ModelVersion, version: ModelVersion, rows: Rows) -> Trial:
    assert rows.y is not None
    return Trial(_classes(ctx, champion, rows), _classes(ctx, version, rows), rows.y)


def _classes(ctx: Context, version: ModelVersion, rows: Rows) -> Labels:
    from heritage.weights.network import logits

    network = network_of(ctx, manifest_of(ctx, version), state_of(ctx, version))
    return np.asarray(logits(network, rows.x).argmax(axis=1), np.int64)


def _record(ctx: Context, version: ModelVersion, plan: str, result: dict[str, Any], accepted: bool) -> None:
    data = json.dumps(result, sort_keys=True, allow_nan=False).encode()
    ctx.store.create(f"repairs/{plan}/decision.json", data)
    ctx.registry.put_artifact(version, "heritage/validation/decision.json", data)
    if accepted:
        ctx.registry.accept(version, plan)
        ctx.registry.nominate(version)
    else:
        ctx.registry.set_tag(version, "heritage.gate", f"{result['decision']}:{plan}")
