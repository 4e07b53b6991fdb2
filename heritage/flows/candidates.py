"""What can be made of a drifted champion's relatives, and what the gate says about it."""

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heritage.flows.context import Context
from heritage.flows.material import Material
from heritage.repair.choose import choose, decide_all
from heritage.repair.evidence import Comparison, Evidence, RungFigures, compared
from heritage.repair.gate import GateDecision, GateOptions, Trial, Verdict
from heritage.repair.plan import Recipe, RepairPlan, Rung
from heritage.rows import Rows

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The plan that would ship, the gate's decision on it, how plain rollback does, and what all that rests on."""

    plan: RepairPlan
    decision: GateDecision
    rollback: dict[str, Any] | None
    evidence: Evidence


def best(ctx: Context, material: Material) -> Outcome:
    """Search the ladder, let the simplest rung that is not worse ship, and ask the gate."""
    from heritage.repair.search import search

    found = search(
        material.network, material.drifted, material.states, material.tune, material.unlabelled, material.options
    )
    guard = material.guard
    assert guard.y is not None
    recipes = {r.rung.value: r for r in found.recipes}
    states = {name: material.realised(recipe) for name, recipe in recipes.items()}
    predicted = {name: _classes(material, state, guard) for name, state in states.items()}
    decisions = _judged(ctx, material, states, predicted)
    ships, decision = choose(decisions, predicted, guard.y, gate_options(ctx))
    recipe, state = recipes[ships], states[ships]
    plan = RepairPlan(
        drifted=material.digest,
        donors={label: digest for label, (digest, _) in material.donors.items()},
        recipe=recipe,
        labelled=material.tune.digest,
        seed=material.options.seed,
        unlabelled="" if material.unlabelled is None else material.unlabelled.digest,
        guard=guard.digest,
        left={part.name: part.reason for part in found.left},
        threads=material.options.threads,
        device=material.device,
        result=_digest(state),
        gate=asdict(gate_options(ctx)),
    )
    evidence = Evidence(
        current=_comparison(material, state, guard),
        original=None if material.original is None else _comparison(material, state, material.original),
        rungs=_figures(found.held_out, predicted, decisions, guard.y),
        curves=found.curves,
        left=dict(plan.left),
        skipped=dict(found.skipped),
        passes=found.passes,
    )
    return Outcome(plan, decision, _rollback(recipes, predicted, guard.y), evidence)


def _judged(
    ctx: Context,
    material: Material,
    states: "Mapping[str, Mapping[str, Tensor]]",
    predicted: Mapping[str, NDArray[np.int64]],
) -> dict[str, GateDecision]:
    """The gate's decision on every rung."""
    labels = material.guard.y
    assert labels is not None
    trials = {name: _original(material, state) for name, state in states.items()}
    return decide_all(
        _classes(material, material.drifted, material.guard),
        predicted,
        labels,
        None if material.original is None else {name: trial for name, trial in trials.items() if trial is not None},
        {name: _norm_ratio(material, state) for name, state in states.items()},
        gate_options(ctx),
    )


def _figures(
    held_out: Mapping[Rung, float],
    predicted: Mapping[str, NDArray[np.int64]],
    decisions: Mapping[str, GateDecision],
    labels: NDArray[np.int64],
) -> tuple[RungFigures, ...]:
    return tuple(
        RungFigures(
            rung.value,
            nll,
            float(np.mean(predicted[rung] == labels)) if rung in predicted else None,
            decisions[rung].verdict.value if rung in decisions else "",
            decisions[rung].p if rung in decisions else None,
        )
        for rung, nll in held_out.items()
    )


def _comparison(material: Material, state: "Mapping[str, Tensor]", rows: Rows) -> Comparison:
    """The deployed model beside `state` on labelled rows."""
    from heritage.repair.evaluate import predict

    assert rows.y is not None
    before, after = (predict(material.network, s, rows, material.device) for s in (material.drifted, state))
    return compared(before, after, rows.y)


def decision_of(outcome: Outcome, material: Material) -> str:
    """The gate's verdict, but people are asked where the lineage has nothing to offer and unlabelled rows are left."""
    helpless = outcome.plan.recipe.rung is Rung.NONE or outcome.decision.gain <= 0
    if outcome.decision.verdict is Verdict.REFUSE and helpless and material.unlabelled is not None:
        return Verdict.ASK_LABELS.value
    return outcome.decision.verdict.value


def write(state: "Mapping[str, Tensor]", path: Path) -> str:
    """Write `state` as safetensors to `path` and return its content digest."""
    from heritage.weights.checkpoint import Checkpoint
    from heritage.weights.write import write_safetensors

    write_safetensors(path, state)
    with Checkpoint.open(path) as checkpoint:
        return checkpoint.digest


def gate_options(ctx: Context) -> GateOptions:
    """Levels and margins that the settings ask for."""
    own = ctx.settings.repair
    return GateOptions(alpha=own.alpha, margin=own.original_margin, metric=own.metric, seed=own.seed)


def _classes(material: Material, state: "Mapping[str, Tensor]", rows: Rows) -> NDArray[np.int64]:
    from heritage.repair.evaluate import predict

    classes: NDArray[np.int64] = predict(material.network, state, rows, material.device).argmax(axis=1)
    return classes


def _original(material: Material, state: "Mapping[str, Tensor]") -> Trial | None:
    rows = material.original
    if rows is None or rows.y is None:
        return None
    return Trial(_classes(material, material.drifted, rows), _classes(material, state, rows), rows.y)


def _norm_ratio(material: Material, state: "Mapping[str, Tensor]") -> float:
    from heritage.repair.vector import difference, norm, state_norm

    return norm(difference(state, material.drifted)) / state_norm(material.drifted)


def _rollback(
    recipes: Mapping[str, Recipe], predicted: Mapping[str, NDArray[np.int64]], labels: NDArray[np.int64]
) -> dict[str, Any] | None:
    name = Rung.ROLLBACK.value
    if name not in recipes:
        return None
    return {"donor": list(recipes[name].coefficients), "accuracy": float((predicted[name] == labels).mean())}


def _digest(state: "Mapping[str, Tensor]") -> str:
    with tempfile.TemporaryDirectory() as folder:
        return write(state, Path(folder) / "model.safetensors")
