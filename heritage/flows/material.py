"""What a search works on: champion, donors, and the rows in their parts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput, Misconfigured, NotFound
from heritage.flows import donors
from heritage.flows.context import Context
from heritage.flows.donors import Sight
from heritage.flows.networks import answerable, manifest_of, network_of, state_of
from heritage.flows.profiles import reference_of
from heritage.flows.windows import Kept
from heritage.names import printable
from heritage.records import ModelVersion
from heritage.repair.donors import DonorChoice
from heritage.repair.options import SearchOptions, parse_rungs
from heritage.repair.plan import Recipe, RepairPlan
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
    def device(self) -> str:
        """Where it is computed: 'cpu' or 'cuda'."""
        return self.options.device

    @property
    def states(self) -> "dict[str, dict[str, Tensor]]":
        """Tensors of each donor."""
        return {label: state for label, (_, state) in self.donors.items()}

    def realised(self, recipe: Recipe) -> "dict[str, Tensor]":
        """The tensors that `recipe` stands for; the same bits every time."""
        from heritage.repair.search import realise

        return realise(self.network, self.drifted, self.states, recipe, self.tune, self.unlabelled, self.options)


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


def divide(ctx: Context, kept: Kept) -> tuple[Rows, Rows]:
    """Labelled rows of the windows that tune, and those that the gate alone looks at."""
    assert kept.labelled is not None
    guarded = guard_mask(kept.labelled, ctx.settings.repair.guard_share)
    tune = kept.labelled.take(~guarded)
    if kept.chosen is not None:
        tune = concatenate([tune, kept.chosen])
    return tune, kept.labelled.take(guarded)


def sight_of(ctx: Context, champion: ModelVersion, kept: Kept) -> Sight:
    """What donors' health is judged on. Never on guard rows: it decides which donors are searched."""
    assert kept.inputs is not None
    return Sight(champion, kept.inputs, divide(ctx, kept)[0])


def gather(ctx: Context, champion: ModelVersion, kept: Kept) -> Material:
    """Champion, donors that are healthy on the current rows, and the rows in their parts.

    Rows that the champion cannot answer are in none of them; `BadInput` where too few others are left.
    """
    from heritage.repair.evaluate import pick_device

    state = state_of(ctx, champion)
    network = network_of(ctx, manifest_of(ctx, champion), state)
    sound = Kept(*(answerable(network, part) for part in (kept.labelled, kept.chosen, kept.unlabelled)))
    if lacking := too_few(sound):
        raise BadInput(f"{champion.address}, without the rows that it gives no finite answer to: {lacking}")
    tune, guard = divide(ctx, sound)
    rehearsed, original = split_reference(ctx, reference_of(ctx, champion), len(tune))
    choice, states = donors.choose(ctx, sight_of(ctx, champion, kept), ctx.registry.graph())
    own = ctx.settings.repair
    return Material(
        network,
        champion.digest,
        state,
        {d.label: (d.digest, states[d.digest]) for d in choice.donors},
        choice,
        tune if rehearsed is None else concatenate([tune, rehearsed]),
        guard,
        sound.unlabelled,
        original,
        SearchOptions(parse_rungs(own.rungs), own.seed, trim=own.trim, device=pick_device(own.device).type),
    )


def restore(
    ctx: Context, champion: ModelVersion, plan: RepairPlan, tune: Rows | None, unlabelled: Rows | None
) -> Material:
    """What `plan` was made of, from the registry and the rows that were stored with it.

    Raises `NotFound` for a donor that is gone and `Misconfigured` where the plan's device is not here.
    """
    assert tune is not None
    state = state_of(ctx, champion)
    used = {label: digest for label, digest in plan.donors.items() if plan.recipe.coefficients.get(label)}
    return Material(
        network_of(ctx, manifest_of(ctx, champion), state), champion.digest, state,
        {label: (digest, _donor(ctx, plan, label, digest)) for label, digest in used.items()}, DonorChoice(()),
        tune, tune.take(np.zeros(len(tune), dtype=bool)), unlabelled, None,
        SearchOptions(seed=plan.seed, device=_device(plan), threads=plan.threads),
    )  # fmt: skip


def _donor(ctx: Context, plan: RepairPlan, label: str, digest: str) -> "dict[str, Tensor]":
    version = next(ctx.registry.versions(digest=digest), None)
    if version is None:
        raise NotFound(
            f"plan {plan.hash[:12]}: its donor {printable(label)} was deleted since; start heritage_repair again"
        )
    return state_of(ctx, version)


def _device(plan: RepairPlan) -> str:
    import torch

    if plan.device != "cpu" and not torch.cuda.is_available():
        raise Misconfigured(
            f"plan {plan.hash[:12]} was made on '{plan.device}', which this machine has not, and would come out with "
            "other last bits here; run it where the search ran"
        )
    return plan.device
