"""Accept or refuse a repair on labelled rows that nothing was tuned on.

Against the deployed model: exact one-sided McNemar on the current domain. On the original domain: non-inferiority
within a margin. Among the candidates: the simplest rung that is not significantly worse than the chosen one ships.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm as normal

from heritage.errors import BadInput
from heritage.repair.evaluate import labels_of
from heritage.repair.power import detectable_gain, mcnemar, rows_needed
from heritage.rows import Rows

Labels = NDArray[np.int64]


class Verdict(StrEnum):
    """What the gate says."""

    ACCEPT = "accept"
    SHADOW = "shadow"  # let it run beside the deployed model: not shown to be better, not shown to be worse
    ASK_LABELS = "ask_labels"  # more labelled rows could decide
    REFUSE = "refuse"


class Trial(NamedTuple):
    """Predicted classes of the deployed model and of the candidate, with the labels, all (n,) int64."""

    deployed: Labels
    candidate: Labels
    labels: Labels


@dataclass(frozen=True, slots=True)
class GateOptions:
    """`alpha`: level of the test against the deployed model; `simpler_alpha`: of the test against simpler rungs.

    `margin`: accuracy on the original domain that a repair may cost; `relevant_gain`: what is worth asking people to
    label more rows for; `max_norm_ratio`: the longest repair vector, in norms of the drifted model.
    """

    alpha: float = 0.05
    simpler_alpha: float = 0.2
    margin: float = 0.02
    relevant_gain: float = 0.02
    max_norm_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The verdict with its evidence.

    `p`: one-sided exact McNemar; `fixed`, `broken`: rows that only the candidate, only the deployed model got right;
    `gain`: difference in accuracy on `rows` guard rows; `detectable`: the gain that so many rows can show with power
    .8; `original_gain`: difference on the original domain (None: no such rows); `ships`: name of the candidate that
    the verdict is about; `reasons`: sentences.
    """

    verdict: Verdict
    p: float
    fixed: int
    broken: int
    rows: int
    before: float
    after: float
    detectable: float
    reasons: tuple[str, ...]
    ships: str = ""
    original_gain: float | None = None
    comparisons: Mapping[str, float] = field(default_factory=dict)

    @property
    def gain(self) -> float:
        """Accuracy of the candidate minus accuracy of the deployed model."""
        return self.after - self.before

    @property
    def accepted(self) -> bool:
        """True where the candidate may become challenger."""
        return self.verdict is Verdict.ACCEPT


def split(rows: Rows, guard_share: float, seed: int) -> tuple[Rows, Rows]:
    """Labelled rows for tuning, and `guard_share` of them (rounded) for the gate alone, drawn evenly by `seed`."""
    labels_of(rows)
    if not 0.0 < guard_share < 1.0:
        raise BadInput(f"guard_share is {guard_share}; it must lie between 0 and 1")
    guard = np.zeros(len(rows), dtype=bool)
    guard[np.random.default_rng(seed).permutation(len(rows))[: round(guard_share * len(rows))]] = True
    return rows.take(~guard), rows.take(guard)


def decide(
    deployed: Labels,
    candidate: Labels,
    labels: Labels,
    original: Trial | None = None,
    norm_ratio: float = 0.0,
    options: GateOptions | None = None,
) -> GateDecision:
    """The verdict on one candidate, from predicted classes on guard rows (all (n,)).

    `norm_ratio` is the norm of the repair vector over that of the drifted model. Raises `BadInput` where the arrays
    differ in length or hold no row.
    """
    options = options or GateOptions()
    current = _checked(Trial(deployed, candidate, labels), "guard rows")
    fixed, broken = _discordant(current)
    p = mcnemar(fixed, broken)
    n = len(labels)
    detectable = detectable_gain(n, 2 * min(fixed, broken), options.alpha)
    reasons = [_evidence(fixed, broken, n, p, detectable)]
    verdict = _on_current(fixed, broken, n, p, options, reasons)
    original_gain = None
    if original is not None:
        original_gain, allowed = _on_original(_checked(original, "original rows"), options, reasons)
        verdict = max(verdict, allowed, key=list(Verdict).index)
    if not norm_ratio <= options.max_norm_ratio:  # also refuses NaN
        reasons.append(f"the repair vector is {norm_ratio:.2f} norms of the model long, over {options.max_norm_ratio}")
        verdict = Verdict.REFUSE
    before, after = (float(np.mean(part == labels)) for part in (deployed, candidate))
    return GateDecision(
        verdict, p, fixed, broken, n, before, after, detectable, tuple(reasons), original_gain=original_gain
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
        p_values[name] = mcnemar(*_discordant(_checked(Trial(simpler, chosen, labels), "guard rows")))
        if p_values[name] > options.simpler_alpha:
            return name, p_values
    return chosen_name, p_values


def choose_candidate(
    deployed: Labels,
    candidates: Mapping[str, NDArray[np.float64]],
    labels: Labels,
    original: Mapping[str, Trial] | None = None,
    norm_ratios: Mapping[str, float] | None = None,
    options: GateOptions | None = None,
) -> tuple[str, GateDecision]:
    """The simplest candidate that is not worse than the chosen one and passes the gate, with the decision on it.

    `candidates`: probabilities (n, classes) by name, simplest first, the chosen one last. Where none passes, the
    decision on the chosen one. The deployed model itself (rung 'none') is never a repair.
    """
    options = options or GateOptions()
    waiting = [(name, p.argmax(axis=1).astype(np.int64)) for name, p in candidates.items()]
    if len(waiting) > 1:
        waiting = [pair for pair in waiting if pair[0] != "none"]
    while True:
        name, p_values = simplest(waiting, labels, options)
        decision = decide(
            deployed,
            dict(waiting)[name],
            labels,
            None if original is None else original[name],
            0.0 if norm_ratios is None else norm_ratios[name],
            options,
        )
        if decision.accepted or name == waiting[-1][0]:
            return name, replace(decision, ships=name, comparisons=p_values)
        waiting = [pair for pair in waiting if pair[0] != name]


def _checked(trial: Trial, where: str) -> Trial:
    sizes = {len(part) for part in trial}
    if len(sizes) != 1 or not sizes.pop():
        raise BadInput(
            f"{where}: {len(trial.deployed)} and {len(trial.candidate)} predictions for {len(trial.labels)} labels; "
            "give one of each a row, and at least one row"
        )
    return trial


def _discordant(trial: Trial) -> tuple[int, int]:
    was, now = trial.deployed == trial.labels, trial.candidate == trial.labels
    return int(np.sum(now & ~was)), int(np.sum(was & ~now))


def _evidence(fixed: int, broken: int, n: int, p: float, detectable: float) -> str:
    return (
        f"{fixed} of {n} rows fixed, {broken} broken: {100 * (fixed - broken) / n:+.1f} points (p = {p:.2g}); "
        f"{n} rows can show a gain of {100 * detectable:.1f} points"
    )


def _on_current(fixed: int, broken: int, n: int, p: float, options: GateOptions, reasons: list[str]) -> Verdict:
    if p <= options.alpha:
        return Verdict.ACCEPT
    gain = (fixed - broken) / n
    if gain <= 0:
        reasons.append("the candidate is no better than the deployed model on current rows")
        return Verdict.REFUSE
    if gain < options.relevant_gain:
        reasons.append(f"the gain is under {100 * options.relevant_gain:.1f} points: run it beside the deployed model")
        return Verdict.SHADOW
    more = rows_needed(gain, n, 2 * min(fixed, broken), options.alpha) - n
    reasons.append(f"about {max(more, 1)} more labelled rows would show a gain of this size")
    return Verdict.ASK_LABELS


def _on_original(trial: Trial, options: GateOptions, reasons: list[str]) -> tuple[float, Verdict]:
    """Gain on the original domain, and the best verdict that it allows (one-sided bounds at 1 - alpha)."""
    fixed, broken = _discordant(trial)
    n = len(trial.labels)
    gain = (fixed - broken) / n
    # Agresti-Min: half a pair added to each kind keeps the bound honest for few discordant rows
    spread = np.sqrt((fixed + broken + 1.0) / (n + 2) - ((fixed - broken) / (n + 2)) ** 2) / np.sqrt(n + 2)
    reach = float(normal.isf(options.alpha) * spread)
    if gain - reach >= -options.margin:
        reasons.append(f"original domain: {100 * gain:+.1f} points on {n} rows, within the margin")
        return gain, Verdict.ACCEPT
    reasons.append(
        f"original domain: {100 * gain:+.1f} points on {n} rows (down to {100 * (gain - reach):+.1f}), "
        f"the margin is {100 * options.margin:.1f}"
    )
    return gain, Verdict.REFUSE if gain + reach < -options.margin else Verdict.SHADOW
