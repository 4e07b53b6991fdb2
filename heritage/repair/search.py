"""The ladder: the simplest way back that current labelled rows support.

Every rung is tuned on one part of the rows, the rung is chosen by NLL on the rest, and the chosen one is tuned again
on all of them. What comes out is a recipe and its state; whether it ships is for `heritage.repair.gate` to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from heritage.errors import BadInput
from heritage.repair.evaluate import Budget, Judge, fixed_threads, labels_of
from heritage.repair.lines import Curve
from heritage.repair.options import SearchOptions
from heritage.repair.plan import Recipe, Rung
from heritage.repair.rungs import Workshop, make_workshop
from heritage.repair.tensors import State
from heritage.repair.vector import Left
from heritage.rows import Rows


@dataclass(frozen=True)
class SearchResult:
    """The chosen recipe, its state, and what was seen on the way.

    `nll_before`, `nll_after`: mean NLL (nats) of the drifted and the chosen model on the rows that chose the rung;
    `held_out`: the same for every rung that was tried. `recipes` are all tried rungs tuned on all rows, from the
    simplest to the chosen one, for the gate to compare. `skipped` says which donors and rungs were left out, and why.
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

    `unlabelled` current rows serve BatchNorm statistics only; without them the labelled rows' inputs do. The same
    arguments give the same result. Raises `BadInput` for no labels, one class, or weights that cannot be mixed.
    """
    options = options or SearchOptions()
    check_rows(rows)
    with fixed_threads(options.threads):
        shop = make_workshop(network, drifted, donors, rows, unlabelled, options)
        return _climb(shop, rows, options)


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
        return make_workshop(network, drifted, needed, rows, unlabelled, options).state(recipe, rows)


def check_rows(rows: Rows) -> None:
    """Raise `BadInput` where `rows` are too few or too one-sided to tune on."""
    labels = labels_of(rows)
    if len(rows) < 8:
        raise BadInput(f"{len(rows)} labelled rows; the search needs at least 8: request more labels")
    classes = np.unique(labels)
    if len(classes) < 2:
        raise BadInput(f"all {len(rows)} labelled rows are of class {classes[0]}; label rows of at least 2 classes")


def tuning_split(rows: Rows, share: float, seed: int) -> tuple[Rows, Rows]:
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


def _climb(shop: Workshop, rows: Rows, options: SearchOptions) -> SearchResult:
    tune, choose = tuning_split(rows, options.tune_share, options.seed)
    budget = Budget(options.budget)
    # the refit on all rows costs about as much as the first climb
    tuned = shop.climb(tune, Budget(max(1, options.budget // 2)), options)
    judge = Judge(shop.runner, choose, budget)
    held_out = {r.rung: judge.nll(shop.state(r, tune)) for r in tuned.recipes}
    chosen = min(held_out, key=lambda r: held_out[r])
    budget.used += tuned.passes
    refit = shop.climb(rows, budget, options, last=chosen)
    recipe = next((r for r in refit.recipes if r.rung is chosen), refit.recipes[-1])
    return SearchResult(
        recipe=recipe,
        state=shop.state(recipe, rows),
        nll_before=judge.nll(shop.family.drifted),
        nll_after=held_out[chosen],
        held_out=held_out,
        recipes=refit.recipes,
        curves=refit.curves,
        passes=budget.used,
        left=shop.left,
        skipped={**shop.skipped, **tuned.skipped},
    )
