"""The ladder: the simplest way back that current labelled rows support.

Every rung is tuned on one part of the rows and judged by NLL on the rest, over several ways to cut them; the simplest
rung near the best is chosen and tuned again on all rows. What comes out is a recipe and its state; whether it ships is
for `heritage.repair.gate` to say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from heritage.errors import BadInput
from heritage.repair.evaluate import Budget, Judge, finite_rows, fixed_threads, labels_of
from heritage.repair.lines import COARSE, Curve
from heritage.repair.options import SearchOptions
from heritage.repair.plan import Recipe, Rung
from heritage.repair.rungs import STEPS, Climb, Workshop, make_workshop
from heritage.repair.tensors import State
from heritage.repair.vector import Left
from heritage.rows import Rows


@dataclass(frozen=True)
class SearchResult:
    """The chosen recipe, its state, and what was seen on the way.

    `nll_before`, `nll_after`: mean NLL (nats) of the drifted and the chosen model on the rows that chose the rung;
    `held_out`: the best of every rung that was tried. `recipes` are the rungs tuned on all rows, from the simplest to
    the chosen one, for the gate to compare. `skipped` says which donors and rungs were left out, and why.
    """

    recipe: Recipe
    state: dict[str, Tensor]
    nll_before: float
    nll_after: float
    held_out: Mapping[Rung, float]
    recipes: tuple[Recipe, ...]
    curves: tuple[Curve, ...]
    passes: int
    left: tuple[Left, ...]
    skipped: Mapping[str, str]

    @property
    def rung(self) -> Rung:
        """The chosen rung."""
        return self.recipe.rung

    @property
    def coefficients(self) -> Mapping[str, float]:
        """The chosen share of each donor."""
        return self.recipe.coefficients


def search(
    network: nn.Module,
    drifted: State,
    donors: Mapping[str, State],
    rows: Rows,
    unlabelled: Rows | None = None,
    options: SearchOptions | None = None,
) -> SearchResult:
    """The best rung of the ladder for `drifted` on labelled current `rows` (at least 8, at least 2 classes).

    `unlabelled` current rows serve BatchNorm statistics only; without them the labelled rows' inputs do. Rows with NaN
    are left out. The same arguments give the same result. Raises `BadInput` for no labels, one class, or weights that
    cannot be mixed.
    """
    options = options or SearchOptions()
    labelled, rows = len(rows), finite_rows(rows)
    check_rows(rows)
    with fixed_threads(options.threads):
        shop = make_workshop(network, drifted, donors, rows, unlabelled, options)
        found = _climb(shop, rows, options)
    if labelled == len(rows):
        return found
    dark = f"{labelled - len(rows)} of {labelled} labelled rows hold NaN or infinite inputs"
    return replace(found, skipped={**found.skipped, "rows": dark})


def realise(
    network: nn.Module,
    drifted: State,
    donors: Mapping[str, State],
    recipe: Recipe,
    rows: Rows,
    unlabelled: Rows | None = None,
    options: SearchOptions | None = None,
) -> dict[str, Tensor]:
    """The state that `recipe` stands for: the same bits that `search` had, from the same inputs."""
    options = options or SearchOptions()
    lacking = sorted(recipe.coefficients.keys() - donors.keys())
    if lacking:
        raise BadInput(f"recipe needs donor '{lacking[0]}', given are {sorted(donors)}; give the weights of all donors")
    with fixed_threads(options.threads):
        needed = {d: s for d, s in donors.items() if d in recipe.coefficients}
        rows, options = finite_rows(rows), replace(options, trim=recipe.trim)
        return _home(make_workshop(network, drifted, needed, rows, unlabelled, options).state(recipe, rows))


def check_rows(rows: Rows) -> None:
    """Raise `BadInput` where `rows` are too few or too one-sided to tune on."""
    labels = labels_of(rows)
    if len(rows) < 8:
        raise BadInput(f"{len(rows)} labelled rows; the search needs at least 8: request more labels")
    classes = np.unique(labels)
    if len(classes) < 2:
        raise BadInput(f"all {len(rows)} labelled rows are of class {classes[0]}; label rows of at least 2 classes")


def tuning_split(rows: Rows, share: float, seed: int | Sequence[int]) -> tuple[Rows, Rows]:
    """`rows` cut in two by `seed`, `share` of every class (rounded) in the first part."""
    labels = labels_of(rows)
    random = np.random.default_rng(seed)
    first = np.zeros(len(rows), dtype=bool)
    order = random.permutation(len(rows))
    owed = 0.0
    for label in np.unique(labels):
        members = order[labels[order] == label]
        owed += share * len(members)  # what rounding left over goes to the next class
        take = min(len(members), round(owed))
        owed -= take
        first[members[:take]] = True
    return rows.take(first), rows.take(~first)


class _Variant(NamedTuple):
    """A rung with what is chosen within it by held-out rows."""

    rung: Rung
    rate: float
    share: float


def _variant(recipe: Recipe) -> _Variant:
    return _Variant(recipe.rung, recipe.rate, recipe.share)


def _climb(shop: Workshop, rows: Rows, options: SearchOptions) -> SearchResult:
    losses, passes, skipped = _held_out(shop, rows, options)
    means = {variant: float(np.mean(np.concatenate(parts))) for variant, parts in losses.items()}
    chosen = _simplest_near_best(losses, options)
    budget = Budget(options.budget, passes)
    refit = shop.climb(rows, budget)
    variants = (*refit.recipes, *shop.variants(refit, Budget(options.budget * 10)))
    recipes = _refitted(variants, means, chosen)
    best = {rung: min(m for v, m in means.items() if v.rung is rung) for rung in dict.fromkeys(v.rung for v in means)}
    return SearchResult(
        recipe=recipes[-1],
        state=_home(shop.state(recipes[-1], rows)),
        nll_before=means[_variant(Recipe(Rung.NONE))],
        nll_after=means[chosen],
        held_out={rung: nll for rung, nll in best.items() if rung in options.rungs},
        recipes=recipes,
        curves=refit.curves,
        passes=budget.used,
        left=shop.left,
        skipped={**shop.skipped, **skipped},
    )


def _home(state: State) -> dict[str, Tensor]:
    """`state` in the machine's own memory, wherever it was made; tied tensors stay one."""
    moved = {id(tensor): tensor.cpu() for tensor in state.values()}
    return {name: moved[id(tensor)] for name, tensor in state.items()}


@dataclass
class _Split:
    """One way to cut the rows: what was tuned on the one part, and a judge that looks at the other."""

    tune: Rows
    judge: Judge
    climb: Climb


def _held_out(
    shop: Workshop, rows: Rows, options: SearchOptions
) -> tuple[dict[_Variant, list[NDArray[np.float64]]], int, dict[str, str]]:
    """Losses of every variant on the rows that it was not tuned on, one array a split; passes used; what was skipped.

    The last climb, on all rows, costs about as much as each split: the budget is shared out evenly. The longest
    fine-tuning costs more than all the rest together, so it is tried only where the longest of the others is best
    (where the lineage knows the drift, it never is), or is not wanted.
    """
    losses: dict[_Variant, list[NDArray[np.float64]]] = {}
    splits = [_split(shop, rows, options, i) for i in range(options.splits)]
    short = tuple(rung for rung in STEPS if rung is not Rung.FINETUNE_200)
    for split in splits:
        recipes = (*split.climb.recipes, *shop.variants(split.climb, split.judge.budget, short))
        if Rung.NONE not in options.rungs:
            recipes = (Recipe(Rung.NONE), *recipes)
        _look(shop, split, recipes, losses)
    if _best_rung(losses, options) is Rung.FINETUNE_60 or Rung.FINETUNE_60 not in options.rungs:
        for split in splits:
            _look(shop, split, shop.variants(split.climb, split.judge.budget, (Rung.FINETUNE_200,)), losses)
    passes = sum(split.judge.budget.used for split in splits)
    skipped = {name: why for split in splits for name, why in split.climb.skipped.items()}
    return {v: parts for v, parts in losses.items() if len(parts) == options.splits}, passes, skipped


def _split(shop: Workshop, rows: Rows, options: SearchOptions, number: int) -> _Split:
    tune, choose = tuning_split(rows, options.tune_share, [options.seed, number])
    budget = Budget(max(1, options.budget // (options.splits + 1)))
    return _Split(tune, Judge(shop.runner, choose, budget), shop.climb(tune, budget, COARSE))


def _look(
    shop: Workshop, split: _Split, recipes: Sequence[Recipe], losses: dict[_Variant, list[NDArray[np.float64]]]
) -> None:
    for recipe, state in shop.states(recipes, split.tune):
        losses.setdefault(_variant(recipe), []).append(split.judge.losses(state))


def _best_rung(losses: Mapping[_Variant, list[NDArray[np.float64]]], options: SearchOptions) -> Rung:
    whole = {v: np.mean(np.concatenate(parts)) for v, parts in losses.items() if len(parts) == options.splits}
    return min(whole, key=lambda v: float(whole[v])).rung if whole else Rung.NONE


def _simplest_near_best(losses: Mapping[_Variant, list[NDArray[np.float64]]], options: SearchOptions) -> _Variant:
    """The first variant whose mean loss is within `tolerance` standard errors of the best one's.

    The error is that of the paired difference over the rows of one split: the splits share rows.
    """
    wanted = {v: np.concatenate(parts) for v, parts in losses.items() if v.rung in options.rungs}
    if not wanted:  # no wanted rung could be tried: without donors, or without budget
        return _variant(Recipe(Rung.NONE))
    best = min(wanted, key=lambda v: float(wanted[v].mean()))
    rows = len(losses[best][0])
    for variant, each in wanted.items():
        if not np.isfinite(each).all():
            continue
        excess = each - wanted[best]
        if excess.mean() <= options.tolerance * excess.std() / np.sqrt(rows):
            return variant
    return best


def _refitted(recipes: Sequence[Recipe], means: Mapping[_Variant, float], chosen: _Variant) -> tuple[Recipe, ...]:
    """Of each rung below the chosen one the variant with the best held-out loss; the chosen variant comes last."""
    kept: dict[Rung, Recipe] = {}
    for recipe in recipes:
        variant = _variant(recipe)
        if variant == chosen:
            return (*kept.values(), recipe)
        if recipe.rung is chosen.rung or variant not in means:
            continue
        if recipe.rung not in kept or means[variant] < means[_variant(kept[recipe.rung])]:
            kept[recipe.rung] = recipe
    # the climb on all rows ran out of budget before the chosen rung: the best of what it reached
    return tuple(kept.values()) or (Recipe(Rung.NONE),)
