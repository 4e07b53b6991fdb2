"""Repair a drifted champion from the weights of its relatives: search, gate, and, apart from that, registration.

`search` leaves everything that a repair follows from under `repairs/<plan hash>/`; `register` makes the same weights
again from it, bit for bit, and registers them. Both may be killed and run again.
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from heritage.errors import Conflict, NotFound, Refused
from heritage.flows import candidates, check_drift, register, windows
from heritage.flows.candidates import Material
from heritage.flows.context import Context
from heritage.flows.networks import manifest_of, network_of
from heritage.flows.profiles import fit_profile
from heritage.names import check_digest
from heritage.records import ModelVersion, Origin, ParentEdge, Relation, Transformation
from heritage.repair.plan import RepairPlan
from heritage.rows import Rows, concatenate, from_npz, to_npz

REPAIR_TAG = "heritage.repair"


def search(ctx: Context, model: str, window: str = "", dry_run: bool = False) -> dict[str, Any]:
    """The gate's decision on the best repair of `model`'s champion, and the hash of its plan.

    `decision` is accept, shadow, ask_labels or refuse; `reason` is for people. A dry run stores nothing.
    """
    champion = ctx.registry.version(f"{model}@champion")
    window = window or windows.newest_with_rows(ctx, champion)
    used = current_windows(ctx, champion, window)
    base: dict[str, Any] = {"model": model, "window": window, "windows": used, "plan": "", "dry_run": dry_run}
    if not dry_run:
        check_drift.mark_repair_started(ctx, champion, window)
    kept = windows.read_rows(ctx, champion, used)
    lacking = candidates.too_few(kept)
    if lacking:
        return {**base, "decision": "ask_labels", "reason": lacking}
    material = candidates.gather(ctx, champion, kept)
    outcome = candidates.best(ctx, material)
    result = {
        **base,
        "champion": champion.address,
        "plan": outcome.plan.hash,
        "decision": candidates.decision_of(outcome, material),
        "reason": " ".join(outcome.decision.reasons),
        "rung": outcome.plan.recipe.rung.value,
        "coefficients": dict(outcome.plan.recipe.coefficients),
        "gate": {
            **{k: v for k, v in asdict(outcome.decision).items() if k != "reasons"},
            "gain": outcome.decision.gain,
        },
        "rollback": outcome.rollback,
        "donors": {d.label: asdict(d.health) if d.health else None for d in material.choice.donors},
        "rejected": dict(material.choice.rejected),
    }
    if not dry_run:
        _store(ctx, outcome.plan, material, result)
    return result


def current_windows(ctx: Context, champion: ModelVersion, window: str) -> list[str]:
    """`window` and the drifted windows right before it, oldest first: what the champion sees now."""
    used = [window]
    before = [v for v in check_drift.verdicts(ctx, champion) if v.window < window]
    for verdict in reversed(before):
        if verdict.status != "drift":
            break
        used.insert(0, verdict.window)
    return used[-ctx.settings.drift.windows_looked_at :]


def register_challenger(ctx: Context, plan_hash: str) -> dict[str, str]:
    """Register what the gate accepted under `plan_hash` as challenger; the same version however often it runs.

    Raises `Refused` for a plan that was not accepted, and `Conflict` where the weights made from it are not those
    that the gate saw.
    """
    result = decision(ctx, plan_hash)
    if result["decision"] != "accept":
        raise Refused(f"plan {plan_hash[:12]}: the gate decided {result['decision']}; nothing is registered")
    plan = RepairPlan.from_json(_get(ctx, plan_hash, "plan.json").decode(), f"plan {plan_hash[:12]}")
    champion = ctx.registry.version(result["champion"])
    rows = {part: _rows(ctx, plan_hash, part) for part in ("labelled", "unlabelled", "guard")}
    material = candidates.restore(ctx, champion, plan, rows["labelled"], rows["unlabelled"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        digest = candidates.write(material.realised(plan.recipe), path)
        if digest != plan.result:
            raise Conflict(
                f"plan {plan_hash[:12]}: its weights came out as {digest[:12]}, the gate saw {plan.result[:12]}; "
                "was torch updated meanwhile? Start heritage_repair again"
            )
        version = register.run(ctx, _registration(ctx, champion, plan, result, rows, path))
    ctx.registry.set_tag(version, REPAIR_TAG, plan_hash)
    ctx.registry.accept(version, plan_hash)
    for name in ("plan.json", "decision.json"):
        ctx.registry.put_artifact(version, f"heritage/repair/{name}", _get(ctx, plan_hash, name))
    ctx.registry.nominate(version)
    return {"model": version.name, "address": version.address, "plan": plan_hash}


def decision(ctx: Context, plan_hash: str) -> dict[str, Any]:
    """What `search` found under this plan; `NotFound` where there is no such plan."""
    found: dict[str, Any] = json.loads(_get(ctx, plan_hash, "decision.json"))
    return found


def _registration(
    ctx: Context,
    champion: ModelVersion,
    plan: RepairPlan,
    result: dict[str, Any],
    rows: dict[str, Rows | None],
    path: Path,
) -> register.Registration:
    from heritage.weights.checkpoint import Checkpoint

    manifest = manifest_of(ctx, champion)
    guard = rows["guard"]
    assert guard is not None
    with Checkpoint.open(path) as checkpoint:
        network = network_of(ctx, manifest, checkpoint.torch_state())
    # the rows that the repair was not tuned on
    unseen = [Rows(r.x) for r in (rows["unlabelled"], guard) if r is not None]
    return register.Registration(
        champion.name,
        path,
        manifest.architecture,
        reference=guard,
        profile=fit_profile(concatenate(unseen), network, guard),
        parents=_parents(champion, plan, result),
        metrics={"guard_accuracy": result["gate"]["after"], "guard_accuracy_before": result["gate"]["before"]},
    )


def _parents(champion: ModelVersion, plan: RepairPlan, result: dict[str, Any]) -> tuple[ParentEdge, ...]:
    """Edges to the drifted version and to every donor with a share; none where the repair is a donor as it was."""
    used = {label: plan.donors[label] for label, share in plan.recipe.coefficients.items() if share}
    if plan.result in used.values():
        return ()
    transformation = Transformation("repair", {"plan": plan.hash, **json.loads(plan.to_json())["recipe"]})
    metrics = {"guard_accuracy": result["gate"]["after"]}
    return tuple(
        ParentEdge(digest, Relation.REPAIR, Origin.ATTESTED, 1.0, *_address(label), transformation, metrics)
        for label, digest in {champion.address: plan.drifted, **used}.items()
    )


def _address(label: str) -> tuple[str, str]:
    name, _, number = label.partition("/")
    return name, number


def _store(ctx: Context, plan: RepairPlan, material: Material, result: dict[str, Any]) -> None:
    """Inputs first, the decision last: a plan with a decision is complete."""
    base = f"repairs/{plan.hash}/"
    for part, rows in (("labelled", material.tune), ("unlabelled", material.unlabelled), ("guard", material.guard)):
        if rows is not None:
            ctx.store.create(f"{base}{part}.npz", to_npz(rows))
    ctx.store.create(f"{base}plan.json", plan.to_json().encode())
    ctx.store.create(f"{base}decision.json", json.dumps(result, sort_keys=True, allow_nan=False).encode())


def _rows(ctx: Context, plan_hash: str, part: str) -> Rows | None:
    try:
        return from_npz(_get(ctx, plan_hash, f"{part}.npz"), f"{part} rows of plan {plan_hash[:12]}")
    except NotFound:
        return None


def _get(ctx: Context, plan_hash: str, name: str) -> bytes:
    return ctx.store.get(f"repairs/{check_digest(plan_hash)}/{name}")
