"""What can be made of a drifted champion's relatives, and what the gate says about it."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heritage.errors import HeritageError
from heritage.flows.context import Context
from heritage.flows.health import health_of
from heritage.flows.networks import manifest_of, network_of, state_of
from heritage.flows.profiles import reference_of
from heritage.flows.windows import Kept
from heritage.names import printable
from heritage.records import ModelVersion
from heritage.repair.choose import choose_candidate
from heritage.repair.donors import DonorChoice, DonorOptions, Health, choose_donors
from heritage.repair.gate import GateDecision, GateOptions, Trial, Verdict
from heritage.repair.options import SearchOptions, parse_rungs
from heritage.repair.plan import Recipe, RepairPlan, Rung
from heritage.rows import Rows, concatenate

if TYPE_CHECKING:
    from torch import Tensor, nn

MIN_TUNE, MIN_GUARD = 16, 30
_ORIGINAL_GUARD_SHARE = 2 / 3


@dataclass(frozen=True, eq=False)
class Material:
    """All that a search works on. `donors` maps labels to digest and tensors; `guard` rows are never tuned on."""

    network: "nn.Module"
    digest: str
    drifted: "dict[str, Tensor]"
    donors: "Mapping[str, tuple[str, dict[str, Tensor]]]"
    choice: DonorChoice
    tune: Rows
    guard: Rows
    unlabelled: Rows | None
    original: Rows | None
    options: SearchOptions

    @property
    def states(self) -> "dict[str, dict[str, Tensor]]":
        """Tensors of each donor."""
        return {label: state for label, (_, state) in self.donors.items()}

    def realised(self, recipe: Recipe) -> "dict[str, Tensor]":
        """The tensors that `recipe` stands for; the same bits every time."""
        from heritage.repair.search import realise

        return realise(self.network, self.drifted, self.states, recipe, self.tune, self.unlabelled, self.options)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The plan that would ship, the gate's decision on it, and how plain rollback does on the guard rows."""

    plan: RepairPlan
    decision: GateDecision
    rollback: dict[str, Any] | None


def guard_mask(rows: Rows, share: float) -> NDArray[np.bool_]:
    """Which labelled rows are kept for the gate: by their digest, so that more rows later move none of them."""
    return np.array([int(d[:12], 16) < share * 16**12 for d in rows.row_digests()], dtype=bool)


def split_reference(ctx: Context, reference: Rows | None, n: int) -> tuple[Rows | None, Rows | None]:
    """Rows of the original domain that the search rehearses beside `n` current ones, and those kept for the gate.

    Without rehearsal a search that sees drifted rows alone gives the original domain away and the gate refuses it.
    """
    if reference is None or reference.y is None:
        return None, None
    kept = guard_mask(reference, _ORIGINAL_GUARD_SHARE)
    rest = reference.take(~kept)
    wanted = min(len(rest), round(ctx.settings.repair.rehearsal * n))
    return rest.take(np.arange(wanted)) if wanted else None, reference.take(kept)


def too_few(kept: Kept) -> str:
    """Why the labelled rows are not enough to search on and to judge with; '' where they are."""
    n = 0 if kept.labelled is None else len(kept.labelled)
    if n < MIN_TUNE + MIN_GUARD:
        return f"{n} labelled rows of the current windows; at least {MIN_TUNE + MIN_GUARD} are needed"
    assert kept.labelled is not None
    assert kept.labelled.y is not None
    if len(np.unique(kept.labelled.y)) < 2:
        return f"all {n} labelled rows are of one class; labels of at least two classes are needed"
    return ""


def gather(ctx: Context, champion: ModelVersion, kept: Kept) -> Material:
    """Champion, donors that are healthy on the current rows, and the rows in their parts."""
    labelled, inputs = kept.labelled, kept.inputs
    assert labelled is not None
    assert inputs is not None
    guarded = guard_mask(labelled, ctx.settings.repair.guard_share)
    tune = labelled.take(~guarded)
    if kept.chosen is not None:
        tune = concatenate([tune, kept.chosen])
    reference = reference_of(ctx, champion)
    rehearsed, original = split_reference(ctx, reference, len(tune))
    # health must not look at the guard rows either: it decides which donors are searched
    graph = ctx.registry.graph()
    relatives = _relatives(ctx, champion, graph)
    state = state_of(ctx, champion)
    health: dict[str, Health] = {champion.digest: health_of(ctx, champion, state, inputs, tune)}
    states: dict[str, dict[str, Tensor]] = {}
    barred: dict[str, str] = {}
    for version in relatives:
        try:
            states[version.digest] = state_of(ctx, version)
            health[version.digest] = health_of(ctx, version, states[version.digest], inputs, tune)
        except HeritageError as error:
            barred[version.digest] = printable(str(error), 300)
    own = ctx.settings.repair
    options = DonorOptions(own.donors, min_confidence=own.min_confidence)
    choice = choose_donors(graph, champion.digest, health, options, barred)
    return Material(
        network_of(ctx, manifest_of(ctx, champion), state),
        champion.digest,
        state,
        {d.label: (d.digest, states[d.digest]) for d in choice.donors},
        choice,
        tune if rehearsed is None else concatenate([tune, rehearsed]),
        labelled.take(guarded),
        kept.unlabelled,
        original,
        SearchOptions(rungs=parse_rungs(ctx.settings.repair.rungs), seed=ctx.settings.repair.seed, device="cpu"),
    )


def restore(
    ctx: Context, champion: ModelVersion, plan: RepairPlan, tune: Rows | None, unlabelled: Rows | None
) -> Material:
    """What `plan` was made of, from the registry and the rows that were stored with it."""
    assert tune is not None
    by_digest = {v.digest: v for digest in plan.donors.values() for v in ctx.registry.versions(digest=digest)}
    donors = {label: (digest, state_of(ctx, by_digest[digest])) for label, digest in plan.donors.items()}
    state = state_of(ctx, champion)
    return Material(
        network_of(ctx, manifest_of(ctx, champion), state), champion.digest, state, donors, DonorChoice(()),
        tune, tune.take(np.zeros(len(tune), dtype=bool)), unlabelled, None,
        SearchOptions(seed=plan.seed, device="cpu", threads=plan.threads),
    )  # fmt: skip


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
    ships, decision = _gated(ctx, material, states, predicted)
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
        result=_digest(state),
    )
    return Outcome(plan, decision, _rollback(recipes, predicted, guard.y))


def _gated(
    ctx: Context,
    material: Material,
    states: "Mapping[str, Mapping[str, Tensor]]",
    predicted: Mapping[str, NDArray[np.int64]],
) -> tuple[str, GateDecision]:
    """The rung that would ship, and the gate's decision on it; see `choose_candidate`."""
    labels = material.guard.y
    assert labels is not None
    trials = {name: _original(material, state) for name, state in states.items()}
    return choose_candidate(
        _classes(material, material.drifted, material.guard),
        predicted,
        labels,
        None if material.original is None else {name: trial for name, trial in trials.items() if trial is not None},
        {name: _norm_ratio(material, state) for name, state in states.items()},
        gate_options(ctx),
    )


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


def _relatives(ctx: Context, champion: ModelVersion, graph: Any) -> list[ModelVersion]:
    """One registered version for each relative of the champion."""
    found = []
    for relative in graph.relatives(champion.digest):
        version = next(ctx.registry.versions(digest=relative.digest), None)
        if version is not None:
            found.append(version)
    return found


def gate_options(ctx: Context) -> GateOptions:
    """Levels and margins that the settings ask for."""
    own = ctx.settings.repair
    return GateOptions(alpha=own.alpha, margin=own.original_margin, metric=own.metric, seed=own.seed)


def _classes(material: Material, state: "Mapping[str, Tensor]", rows: Rows) -> NDArray[np.int64]:
    from heritage.repair.evaluate import predict

    classes: NDArray[np.int64] = predict(material.network, state, rows, "cpu").argmax(axis=1)
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
