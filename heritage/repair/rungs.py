"""Tuning of every rung of the ladder, and the state that a recipe stands for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from heritage.repair import lines
from heritage.repair.batchnorm import has_statistics, reestimate
from heritage.repair.evaluate import Budget, Judge, Runner, finite_rows
from heritage.repair.finetune import blend, fine_tune
from heritage.repair.layers import at_layers, fit_layers
from heritage.repair.lines import FINE, Curve, Family, Fit, Looks
from heritage.repair.options import SearchOptions
from heritage.repair.plan import Recipe, Rung, Statistics
from heritage.repair.tensors import State, tied_names
from heritage.repair.vector import Left, difference, trim
from heritage.rows import Rows

STEPS = {Rung.FINETUNE_20: 20, Rung.FINETUNE_60: 60, Rung.FINETUNE_200: 200}
SHARES = (0.25, 0.5, 0.75, 1.0)


@dataclass
class Climb:
    """The best recipe of each rung that is a mix, simplest first, with the curves walked and what was left out."""

    looks: Looks
    recipes: tuple[Recipe, ...] = ()
    curves: tuple[Curve, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    # the lines from the drifted model are walked once, for the rung `one` and as the first round of the hull
    lines: dict[Statistics, Fit] = field(default_factory=dict)


@dataclass
class Workshop:
    """A network, the family it belongs to, and the unlabelled inputs of the current window on the device."""

    runner: Runner
    family: Family
    donors: Mapping[str, State]
    inputs: Tensor
    options: SearchOptions
    left: tuple[Left, ...]
    skipped: Mapping[str, str]

    @cached_property
    def adapted(self) -> Family:
        """The family with BatchNorm statistics measured afresh on the current inputs, each for itself."""
        drifted = reestimate(self.runner, self.family.drifted, self.inputs)
        return _family(drifted, {d: self._adapted_donor(s) for d, s in self.donors.items()}, self.options.trim)

    def _adapted_donor(self, donor: State) -> State:
        # a donor with another head is run under the drifted model's head
        whole = {n: donor[n] if n in donor and donor[n].shape == t.shape else t for n, t in self.family.drifted.items()}
        return reestimate(self.runner, whole, self.inputs)

    @property
    def renews(self) -> bool:
        """True where BatchNorm statistics can be measured afresh."""
        return has_statistics(self.runner.network) and len(self.inputs) >= 2

    def state(self, recipe: Recipe, rows: Rows | None) -> dict[str, Tensor]:
        """The state that `recipe` stands for; `rows` are those of its fine-tuning (None: it has no such steps)."""
        family = self.adapted if recipe.statistics is Statistics.ADAPTED else self.family
        if recipe.layers:
            (donor,) = recipe.coefficients
            state = at_layers(family.drifted, family.vectors[donor], recipe.layers)
        else:
            state = family.at(recipe.coefficients)
        if recipe.statistics is Statistics.AFTER:
            state = reestimate(self.runner, state, self.inputs)
        if rows is None or not recipe.steps:
            return state
        tuned = fine_tune(self.runner, state, rows, recipe.steps, self.options.seed, recipe.rate)
        return blend(state, tuned, recipe.share)

    def states(self, recipes: Sequence[Recipe], rows: Rows) -> Iterator[tuple[Recipe, dict[str, Tensor]]]:
        """Recipes with their states; those that differ in the share of one fine-tuning have it done once."""
        starts: dict[str, dict[str, Tensor]] = {}
        ends: dict[str, dict[str, Tensor]] = {}
        for recipe in recipes:
            end = repr(replace(recipe, share=1.0))
            start = repr(replace(recipe, share=1.0, rung=Rung.NONE, steps=0, rate=0.0))
            if start not in starts:
                starts[start] = self.state(recipe, None)
            if recipe.steps and end not in ends:
                ends[end] = self.state(replace(recipe, share=1.0), rows)
            yield recipe, blend(starts[start], ends[end], recipe.share) if recipe.steps else starts[start]

    def climb(self, rows: Rows, budget: Budget, looks: Looks = FINE) -> Climb:
        """Every wanted rung that is a mix, tuned on `rows` within `budget`."""
        judge = Judge(self.runner, rows, budget)
        climb = Climb(looks)
        zeros = {Statistics.KEPT: judge.nll(self.family.drifted)}
        if self.renews:
            zeros[Statistics.ADAPTED] = judge.nll(self.adapted.drifted)
        for rung in (r for r in self.options.rungs if r not in STEPS):
            if budget.spent and rung is not Rung.NONE:
                climb.skipped[rung] = f"the budget of {self.options.budget} forward passes was spent"
                continue
            recipe, curves = self._tuned(rung, judge, zeros, climb)
            climb.curves += curves
            if recipe is not None:
                climb.recipes += (recipe,)
        return climb

    def variants(self, climb: Climb, budget: Budget, rungs: Sequence[Rung] = tuple(STEPS)) -> tuple[Recipe, ...]:
        """Every wanted way among `rungs` to fine-tune from the last recipe of `climb`, simplest first."""
        base = climb.recipes[-1] if climb.recipes else Recipe(Rung.NONE)
        found: list[Recipe] = []
        for rung in (r for r in self.options.rungs if r in rungs):
            for rate in self.options.rates[: 1 if rung is Rung.FINETUNE_20 else None]:
                if budget.left < STEPS[rung]:
                    climb.skipped[rung] = f"the budget of {self.options.budget} forward passes was spent"
                    continue
                budget.used += STEPS[rung]
                found += [replace(base, rung=rung, steps=STEPS[rung], rate=rate, share=share) for share in SHARES]
        return tuple(found)

    def _tuned(
        self, rung: Rung, judge: Judge, zeros: Mapping[Statistics, float], climb: Climb
    ) -> tuple[Recipe | None, tuple[Curve, ...]]:
        """The best recipe of one rung over the treatments of BatchNorm statistics; None where there is nothing to tune.

        `zeros` is the NLL of the drifted model with kept and (where it has BatchNorm) with fresh statistics.
        """
        if rung is Rung.NONE:
            return Recipe(rung), ()
        if not (self.donors or (self.renews and rung is not Rung.ROLLBACK)):
            return None, ()
        plain = self._fitted(rung, judge, Statistics.KEPT, zeros, climb)
        tried = [plain]
        if self.renews:
            after = replace(plain[0], statistics=Statistics.AFTER)
            adapted = self._fitted(rung, judge, Statistics.ADAPTED, zeros, climb)
            tried += [(after, judge.nll(self.state(after, None)), ()), adapted]
        return min(tried, key=lambda t: t[1])[0], plain[2]

    def _fitted(
        self, rung: Rung, judge: Judge, statistics: Statistics, zeros: Mapping[Statistics, float], climb: Climb
    ) -> tuple[Recipe, float, tuple[Curve, ...]]:
        family = self.family if statistics is Statistics.KEPT else self.adapted
        if rung is Rung.ROLLBACK:
            fit = lines.best_rollback(family, judge)
        else:
            if statistics not in climb.lines:
                climb.lines[statistics] = lines.best_line(family, judge, zeros[statistics], climb.looks)
            fit = climb.lines[statistics]
        if rung is Rung.HULL:
            fit = lines.best_in_hull(family, judge, fit, climb.looks)
        recipe = Recipe(rung, fit.coefficients, statistics, trim=self.options.trim)
        if rung is not Rung.LAYERS or not fit.coefficients:
            return recipe, fit.nll, fit.curves
        ((donor, a),) = fit.coefficients.items()
        recipe = replace(recipe, layers=fit_layers(family.drifted, family.vectors[donor], a, judge))
        return recipe, judge.nll(self.state(recipe, None)), fit.curves


def make_workshop(
    network: nn.Module,
    drifted: State,
    donors: Mapping[str, State],
    rows: Rows,
    unlabelled: Rows | None,
    options: SearchOptions,
) -> Workshop:
    """A workshop on the wanted device; donors equal to the drifted model are left out and named."""
    runner = Runner(network, options.device)
    here = _on(drifted, runner)
    moved = {d: _on(s, runner) for d, s in donors.items()}
    same = {d for d, s in moved.items() if _equal(s, here)}
    kept = {d: s for d, s in moved.items() if d not in same}
    family = _family(here, kept, options.trim)
    left = {part for vector in family.vectors.values() for part in vector.left}
    inputs = runner.inputs(finite_rows(rows if unlabelled is None or not len(unlabelled) else unlabelled).x)
    skipped = dict.fromkeys(same, "its weights equal those of the drifted model")
    return Workshop(runner, family, kept, inputs, options, tuple(sorted(left)), skipped)


def _family(drifted: State, donors: Mapping[str, State], keep: float) -> Family:
    vectors = {d: difference(s, drifted) for d, s in donors.items()}
    return Family(drifted, vectors if keep == 1.0 else {d: trim(v, keep) for d, v in vectors.items()})


def _on(state: State, runner: Runner) -> dict[str, Tensor]:
    """`state` on the runner's device; tied tensors stay one memory."""
    tied = tied_names(state)
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        out[name] = out[tied[name]] if name in tied else tensor.to(runner.device)
    return out


def _equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(
        t.dtype == other[n].dtype and torch.equal(t, other[n]) for n, t in one.items()
    )
