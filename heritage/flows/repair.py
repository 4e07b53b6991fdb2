"""Repair a drifted champion from the weights of its relatives: search, gate, and, apart from that, registration.

`search` leaves everything that a repair follows from under `repairs/<plan hash>/`; `register` makes the same weights
again from it, bit for bit, and registers them. Both may be killed and run again.
"""

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from heritage.errors import BadInput, Conflict, Refused
from heritage.flows import candidates, check_drift, decisions, donors, judgements, material, register, story, windows
from heritage.flows.context import Context
from heritage.flows.decisions import decision as decision
from heritage.flows.material import Material
from heritage.flows.networks import manifest_of, network_of
from heritage.flows.profiles import fit_profile
from heritage.flows.windows import Kept
from heritage.records import ModelVersion, Origin, ParentEdge, Relation, Transformation
from heritage.repair.donors import Health
from heritage.repair.options import parse_rungs
from heritage.repair.plan import RepairPlan
from heritage.rows import Rows, concatenate

REPAIR_TAG = "heritage.repair"
# mapped tasks that one run may have for looking at donors
MAX_PARTS = 64


@dataclass(frozen=True, slots=True)
class Wish:
    """What one run wants otherwise than the settings say; '' and None: as they say."""

    rungs: str = ""
    donors: str = ""
    seed: int | None = None

    def of(self, ctx: Context) -> Context:
        """`ctx` with settings that follow this wish; `BadInput` for unknown rungs."""
        if self.rungs:
            parse_rungs(self.rungs)
        wanted = {"rungs": self.rungs or None, "donors": self.donors or None, "seed": self.seed}
        changes = {name: value for name, value in wanted.items() if value is not None}
        own = ctx.settings.repair.model_copy(update=changes)
        return replace(ctx, settings=ctx.settings.model_copy(update={"repair": own}))


def parts(ctx: Context, model: str, window: str = "", size: int = 1) -> list[dict[str, Any]]:
    """Pieces of the work to look at every donor: model, window, and digests of `size` versions each.

    More than 64 pieces become larger ones. Empty where there are too few labels to go on.
    """
    champion = ctx.registry.version(f"{model}@champion")
    window = window or windows.newest_with_rows(ctx, champion)
    kept = windows.read_rows(ctx, champion, current_windows(ctx, champion, window))
    if material.too_few(kept):
        return []
    found = [champion, *donors.relatives(ctx, champion, ctx.registry.graph())]
    digests = [v.digest for v in found if not donors.barred(champion, v)]
    size = max(size, -(-len(digests) // MAX_PARTS))
    return [{"model": model, "window": window, "digests": digests[i : i + size]} for i in range(0, len(digests), size)]


def assess(ctx: Context, model: str, window: str, digests: Sequence[str]) -> dict[str, str]:
    """Look how healthy these versions are on the window's rows; `search` finds in storage what was seen."""
    champion = ctx.registry.version(f"{model}@champion")
    kept = windows.read_rows(ctx, champion, current_windows(ctx, champion, window))
    return donors.assess(ctx, material.sight_of(ctx, champion, kept), digests)


def search(
    ctx: Context,
    model: str,
    window: str = "",
    dry_run: bool = False,
    wish: Wish = Wish(),
    rows: Rows | None = None,
) -> dict[str, Any]:
    """The gate's decision on the best repair of `model`'s champion, and the hash of its plan.

    `decision` is accept, shadow, ask_labels or refuse; `reason` is for people; `run` the MLflow run that tells it. A
    dry run stores nothing. Labelled `rows` take the place of those kept for the window.
    """
    ctx = wish.of(ctx)
    champion = ctx.registry.version(f"{model}@champion")
    if rows is not None and rows.y is None:
        raise BadInput(f"{model}: the {len(rows)} validation rows have no labels; give an npz file with x and y")
    if rows is None:
        window = window or windows.newest_with_rows(ctx, champion)
    used = [] if rows is not None else current_windows(ctx, champion, window)
    base: dict[str, Any] = {"model": model, "window": window, "windows": used, "plan": "", "dry_run": dry_run}
    if not dry_run and rows is None:
        check_drift.mark_repair_started(ctx, champion, window)
    kept = windows.read_rows(ctx, champion, used) if rows is None else Kept(rows, None, None)
    lacking = material.too_few(kept)
    if lacking:
        return {**base, "decision": "ask_labels", "reason": lacking}
    given = material.gather(ctx, champion, kept)
    outcome = candidates.best(ctx, given)
    result = {
        **base,
        "champion": champion.address,
        "plan": outcome.plan.hash,
        "decision": candidates.decision_of(outcome, given),
        "reason": "; ".join(outcome.decision.reasons),
        "rung": outcome.plan.recipe.rung.value,
        "seed": outcome.plan.seed,
        "coefficients": dict(outcome.plan.recipe.coefficients),
        **decisions.verdict_fields(outcome.decision),
        "rollback": outcome.rollback,
        "donors": {d.label: _figures(d.health) for d in given.choice.donors},
        "rejected": dict(given.choice.rejected),
    }
    if not dry_run:
        decisions.store(ctx, result, outcome.evidence, outcome.plan.to_json(), _kept(given))
        result["run"] = decisions.record(ctx, outcome.plan.hash)
    return result


def _figures(health: Health | None) -> dict[str, float | None] | None:
    """Accuracy and drift effect; the effect is None for a donor that has no profile to drift from."""
    if health is None:
        return None
    return {"accuracy": health.accuracy, "drift": health.drift if math.isfinite(health.drift) else None}


def _kept(given: Material) -> dict[str, Rows | None]:
    return {"labelled": given.tune, "unlabelled": given.unlabelled, "guard": given.guard}


def current_windows(ctx: Context, champion: ModelVersion, window: str) -> list[str]:
    """`window` and the drifted windows right before it, oldest first: what the champion sees now."""
    before = (v for v in judgements.newest_first(ctx, champion) if v.window < window)
    drifted = takewhile(lambda verdict: verdict.status == "drift", before)
    most = ctx.settings.drift.for_model(champion.name).windows_looked_at
    return [window, *(verdict.window for verdict in islice(drifted, most - 1))][::-1]


def register_challenger(ctx: Context, plan_hash: str) -> dict[str, str]:
    """Register what the gate accepted under `plan_hash` as challenger; the same version however often it runs.

    Raises `Refused` for a plan that was not accepted, and `Conflict` where the weights made from it are not those
    that the gate saw.
    """
    result = decision(ctx, plan_hash)
    if result["decision"] != "accept":
        raise Refused(f"plan {plan_hash[:12]}: the gate decided {result['decision']}; nothing is registered")
    plan = RepairPlan.from_json(decisions.read(ctx, plan_hash, "plan.json").decode(), f"plan {plan_hash[:12]}")
    if plan.hash != plan_hash:
        raise Conflict(
            f"plan {plan_hash[:12]}: what is stored under it is plan {plan.hash[:12]}, which nobody decided on; "
            "somebody changed it: start heritage_repair again"
        )
    champion = ctx.registry.version(result["champion"])
    rows = {part: decisions.rows_of(ctx, plan_hash, part) for part in ("labelled", "unlabelled", "guard")}
    given = material.restore(ctx, champion, plan, rows["labelled"], rows["unlabelled"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        digest = candidates.write(given.realised(plan.recipe), path)
        if digest != plan.result:
            raise Conflict(
                f"plan {plan_hash[:12]}: its weights came out as {digest[:12]}, the gate saw {plan.result[:12]}; "
                "was torch updated meanwhile? Start heritage_repair again"
            )
        version = register.run(ctx, _registration(ctx, champion, plan, result, rows, path))
    ctx.registry.set_tag(version, REPAIR_TAG, plan_hash)
    ctx.registry.accept(version, plan_hash)
    for name in ("plan.json", "decision.json", "report.html"):
        ctx.registry.put_artifact(version, f"heritage/repair/{name}", decisions.read(ctx, plan_hash, name))
    ctx.registry.nominate(version)
    story.tell(ctx, version.address)
    return {"model": version.name, "address": version.address, "plan": plan_hash}


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
