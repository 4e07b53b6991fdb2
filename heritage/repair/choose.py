"""Which of the rungs that a search offers ships: all are put through the gate, then simplicity decides.

The candidates are steps of one search and agree on most rows, and the last of them was chosen on other rows than the
gate's; so each is tested at the gate's own level.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from heritage.repair.gate import GateDecision, GateOptions, Trial, checked, decide, discordant
from heritage.repair.metrics import Labels
from heritage.repair.plan import Rung
from heritage.repair.power import mcnemar


def choose_candidate(
    deployed: Labels,
    candidates: Mapping[str, Labels],
    labels: Labels,
    original: Mapping[str, Trial] | None = None,
    norm_ratios: Mapping[str, float] | None = None,
    options: GateOptions | None = None,
) -> tuple[str, GateDecision]:
    """The candidate that ships, and the gate's decision on it; `decide_all`, then `choose`."""
    options = options or GateOptions()
    return choose(decide_all(deployed, candidates, labels, original, norm_ratios, options), candidates, labels, options)


def decide_all(
    deployed: Labels,
    candidates: Mapping[str, Labels],
    labels: Labels,
    original: Mapping[str, Trial] | None = None,
    norm_ratios: Mapping[str, float] | None = None,
    options: GateOptions | None = None,
) -> dict[str, GateDecision]:
    """The gate's decision on each candidate alone.

    `candidates`: predicted classes (n,) on guard rows by name of the rung, simplest first, the one that the search
    chose last. The deployed model itself (rung 'none') is never a repair, and judged only where it is alone.
    """
    return {
        name: decide(
            deployed,
            predicted,
            labels,
            None if original is None else original[name],
            0.0 if norm_ratios is None else norm_ratios[name],
            options,
        )
        for name, predicted in candidates.items()
        if name != Rung.NONE or len(candidates) == 1
    }


def choose(
    decisions: Mapping[str, GateDecision],
    candidates: Mapping[str, Labels],
    labels: Labels,
    options: GateOptions | None = None,
) -> tuple[str, GateDecision]:
    """Of the candidates that the gate accepted, the simplest that is not significantly worse than the last of them.

    So plain rollback ships unless more is shown to be better than it. Where none is accepted, the decision is the one
    on the chosen candidate, the last. `comparisons` then hold, for every other candidate, the p-value that the one
    that ships is no better.
    """
    passing = [(name, candidates[name]) for name, decision in decisions.items() if decision.accepted]
    name = simplest(passing, labels, options)[0] if passing else list(decisions)[-1]
    others = {n: Trial(c, candidates[name], labels) for n, c in candidates.items() if n != name}
    return name, replace(
        decisions[name],
        ships=name,
        comparisons={n: mcnemar(*discordant(trial)) for n, trial in others.items()},
        reasons=(*decisions[name].reasons, *_beside_rollback(others, decisions)),
    )


def simplest(
    candidates: Sequence[tuple[str, Labels]], labels: Labels, options: GateOptions | None = None
) -> tuple[str, dict[str, float]]:
    """Name of the first candidate (simplest first) that the last, chosen one does not beat, and the p-values.

    A simpler candidate is passed over only where the exact test shows the chosen one to be better at `simpler_alpha`.
    """
    options = options or GateOptions()
    chosen_name, chosen = candidates[-1]
    p_values: dict[str, float] = {}
    for name, simpler in candidates[:-1]:
        p_values[name] = mcnemar(*discordant(checked(Trial(simpler, chosen, labels), "guard rows")))
        if p_values[name] > options.simpler_alpha:
            return name, p_values
    return chosen_name, p_values


def _beside_rollback(others: Mapping[str, Trial], decisions: Mapping[str, GateDecision]) -> tuple[str, ...]:
    """How the candidate that ships does against plain rollback, in words; nothing where it is the rollback."""
    if Rung.ROLLBACK not in others:
        return ()
    trial = others[Rung.ROLLBACK]
    fixed, broken = discordant(trial)
    points, p = 100 * (fixed - broken) / len(trial.labels), mcnemar(fixed, broken)
    said = decisions[Rung.ROLLBACK].verdict.value
    return (f"against plain rollback ({said} by itself): {points:+.1f} points (p = {p:.2g})",)
