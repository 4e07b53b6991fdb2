"""Show a challenger to a person, move the aliases once approved, look whether the new champion really runs."""

from typing import Any

import numpy as np

from heritage.errors import BadInput, NotFound, Refused
from heritage.flows import news, repair, story
from heritage.flows.context import Context
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.profiles import profile_of, reference_of
from heritage.flows.served import ask
from heritage.records import ModelVersion
from heritage.registry import GATE, Move, gate_tag

_TOLERANCE = 0.01  # accuracy by which a champion may differ between the machine that tuned it and the one that runs it


def brief(ctx: Context, address: str, plan: str) -> dict[str, str]:
    """What a person needs to decide: subject, and body in Markdown. Raises `Refused` where the gate said no."""
    version = ctx.registry.version(address)
    if version.tags.get(GATE) != gate_tag(plan):
        raise Refused(
            f"{version.address}: its tag {GATE} does not name plan {plan[:12]}; the challenger was changed since. "
            "Validate it again (heritage_validate)"
        )
    found = repair.decision(ctx, plan)
    gate = found["gate"]
    lines = [
        f"**{version.address}** would replace **{found['champion']}** as champion.",
        "",
        "| rows nobody tuned on | accuracy |",
        "|---|---|",
        f"| champion now | {100 * gate['before']:.1f} % |",
        f"| challenger | {100 * gate['after']:.1f} % |",
    ]
    if rollback := found.get("rollback"):
        lines.append(f"| plain rollback to {', '.join(rollback['donor'])} | {100 * rollback['accuracy']:.1f} % |")
    lines += ["", found["reason"], "", f"Plan `{plan}`; the report is an artifact of the challenger's run in MLflow."]
    return {
        "address": version.address,
        "model": version.name,
        "plan": plan,
        "subject": f"Promote {version.address}? {100 * gate['gain']:+.1f} points on {gate['rows']} rows",
        "body": "\n".join(lines),
    }


def promote(ctx: Context, address: str, plan: str) -> dict[str, Any]:
    """Move the aliases; done already counts as done.

    Raises `Refused` where the gate did not accept this plan and `Conflict` where the champion is no longer the one
    that the plan was compared with.
    """
    version = ctx.registry.version(address)
    expected = repair.decision(ctx, plan)["champion"].rpartition("/")[2]
    move = ctx.registry.promote(version.name, version.version, expected, f"approved, plan {plan[:12]}", plan)
    result = {"model": version.name, "version": move.version, "replaced": move.replaced, "plan": plan}
    news.promoted(ctx, "promote", result)
    _tell(ctx, version.name, move)
    return result


def smoke_test(ctx: Context, model: str) -> dict[str, Any]:
    """Load the champion as a server would, run it on its reference rows, and ask the server that people use.

    Raises `BadInput` where it is not what it was, `Unavailable` where the server (`promote.served_at`) does not follow.
    """
    from heritage.weights.network import probabilities

    champion = ctx.registry.version(f"{model}@champion")
    network = network_of(ctx, manifest_of(ctx, champion), state_of(ctx, champion))
    rows, served = reference_of(ctx, champion), 0
    if rows is None:
        return {"model": model, "version": champion.version, "rows": 0, "served": 0, "accuracy": None}
    said = probabilities(network, rows.x)
    if not np.isfinite(said).all():
        raise BadInput(f"{champion.address}: gives values that are not finite on its own reference rows")
    accuracy = None if rows.y is None else float((said.argmax(axis=1) == rows.y).mean())
    _check_recorded(ctx, champion, accuracy)
    if url := ctx.settings.promote.served_at:
        served = ask(url, champion, rows, said.astype(np.float64), ctx.settings.promote.served_wait_s)
    return {"model": model, "version": champion.version, "rows": len(rows), "served": served, "accuracy": accuracy}


def _check_recorded(ctx: Context, champion: ModelVersion, accuracy: float | None) -> None:
    try:
        recorded = profile_of(ctx, champion).performance
    except NotFound:  # a version that is not watched has no accuracy to compare with
        return
    if accuracy is not None and recorded is not None and accuracy < recorded.scores.accuracy - _TOLERANCE:
        raise BadInput(
            f"{champion.address}: {100 * accuracy:.1f} % right on its reference rows, recorded are "
            f"{100 * recorded.scores.accuracy:.1f} %"
        )


def roll_back(ctx: Context, model: str, reason: str, expected: str | None = None) -> dict[str, Any]:
    """Make the previous champion champion again."""
    move = ctx.registry.rollback(model, reason, expected)
    result = {"model": model, "version": move.version, "replaced": move.replaced}
    news.promoted(ctx, "rollback", result)
    _tell(ctx, model, move)
    return result


def _tell(ctx: Context, model: str, move: Move) -> None:
    story.tell(ctx, *(f"{model}/{number}" for number in (move.version, move.replaced) if number))
