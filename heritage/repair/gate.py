"""Accept or refuse a repair on labelled rows that nothing was tuned on.

Against the deployed model: exact one-sided McNemar on the current domain. On the original domain: non-inferiority
within a margin. Which of several candidates ships is for `heritage.repair.choose` to say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from scipy.stats import norm as normal

from heritage.errors import BadInput
from heritage.names import printable
from heritage.repair.bootstrap import paired_bootstrap
from heritage.repair.evaluate import labels_of
from heritage.repair.metrics import ACCURACY, METRICS, Labels
from heritage.repair.power import detectable_gain, mcnemar, rows_needed
from heritage.rows import Rows


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
    label more rows for; `max_norm_ratio`: the longest repair vector, in norms of the drifted model. `metric` is one of
    `heritage.repair.metrics`; all but accuracy are tested by a paired bootstrap under `seed`.
    """

    alpha: float = 0.05
    simpler_alpha: float = 0.2
    margin: float = 0.02
    relevant_gain: float = 0.02
    max_norm_ratio: float = 1.0
    metric: str = ACCURACY
    seed: int = 0

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise BadInput(f"metric '{printable(self.metric)}' is unknown; known: {', '.join(METRICS)}")


@dataclass(frozen=True, slots=True)
class GateDecision:
    """The verdict with its evidence.

    `p`: one-sided exact McNemar (another metric: paired bootstrap); `before`, `after`: the metric on `rows` guard
    rows; `fixed`, `broken`: rows that only the candidate, only the deployed model got right; `detectable`: the gain
    that so many rows can show with power .8; `original_gain`: difference in accuracy on the original domain (None: no
    such rows); `ships`: name of the candidate that the verdict is about; `comparisons`: candidate -> p-value that the
    one that ships is no better; `reasons`: sentences.
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
        """The candidate's metric (accuracy, unless another was asked for) minus that of the deployed model."""
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
    seen = _evidence(checked(Trial(deployed, candidate, labels), "guard rows"), options)
    reasons = [_in_words(seen, options)]
    verdict = _on_current(seen, options, reasons)
    original_gain = None
    if original is not None:
        original_gain, allowed = _on_original(checked(original, "original rows"), options, reasons)
        verdict = max(verdict, allowed, key=list(Verdict).index)
    if not norm_ratio <= options.max_norm_ratio:  # also refuses NaN
        reasons.append(f"the repair vector is {norm_ratio:.2f} norms of the model long, over {options.max_norm_ratio}")
        verdict = Verdict.REFUSE
    return GateDecision(verdict, *seen, reasons=tuple(reasons), original_gain=original_gain)


class _Evidence(NamedTuple):
    """The first figures of a `GateDecision`, in its order."""

    p: float
    fixed: int
    broken: int
    rows: int
    before: float
    after: float
    detectable: float


def _evidence(trial: Trial, options: GateOptions) -> _Evidence:
    fixed, broken = discordant(trial)
    n, metric = len(trial.labels), METRICS[options.metric]
    before, after = (metric(trial.labels, part) for part in (trial.deployed, trial.candidate))
    if options.metric == ACCURACY:
        p, detectable = mcnemar(fixed, broken), detectable_gain(n, 2 * min(fixed, broken), options.alpha)
    else:
        drawn = paired_bootstrap(metric, *trial, seed=options.seed, alpha=options.alpha)
        p = drawn.p
        # the same distance from the bound that decides as the bound has from no gain, for power .8
        detectable = (drawn.difference - drawn.lower) * (1 + float(normal.isf(0.2) / normal.isf(options.alpha)))
    return _Evidence(p, fixed, broken, n, before, after, detectable)


def checked(trial: Trial, where: str) -> Trial:
    """`trial` itself if its parts fit one another and hold a row, else `BadInput` naming `where`."""
    sizes = {len(part) for part in trial}
    if len(sizes) != 1 or not sizes.pop():
        raise BadInput(
            f"{where}: {len(trial.deployed)} and {len(trial.candidate)} predictions for {len(trial.labels)} labels; "
            "give one of each a row, and at least one row"
        )
    return trial


def discordant(trial: Trial) -> tuple[int, int]:
    """Rows that only the candidate has right, and rows that only the deployed model has right."""
    was, now = trial.deployed == trial.labels, trial.candidate == trial.labels
    return int(np.sum(now & ~was)), int(np.sum(was & ~now))


def _in_words(seen: _Evidence, options: GateOptions) -> str:
    gain = 100 * (seen.after - seen.before)
    what = "" if options.metric == ACCURACY else f" of {options.metric}"
    return (
        f"{seen.fixed} of {seen.rows} rows fixed, {seen.broken} broken: {gain:+.1f} points{what} (p = {seen.p:.2g}); "
        f"{seen.rows} rows can show a gain of {100 * seen.detectable:.1f} points"
    )


def _on_current(seen: _Evidence, options: GateOptions, reasons: list[str]) -> Verdict:
    gain = seen.after - seen.before
    if seen.p <= options.alpha and gain > 0:
        return Verdict.ACCEPT
    if gain <= 0:
        reasons.append("the candidate is no better than the deployed model on current rows")
        return Verdict.REFUSE
    if gain < options.relevant_gain:
        reasons.append(f"the gain is under {100 * options.relevant_gain:.1f} points: run it beside the deployed model")
        return Verdict.SHADOW
    reasons.append(
        f"about {max(_rows_lacking(seen, gain, options), 1)} more labelled rows would show a gain of this size"
    )
    return Verdict.ASK_LABELS


def _rows_lacking(seen: _Evidence, gain: float, options: GateOptions) -> int:
    if options.metric == ACCURACY:
        return rows_needed(gain, seen.rows, 2 * min(seen.fixed, seen.broken), options.alpha) - seen.rows
    # the error of a mean falls with the root of the rows
    return round(seen.rows * (seen.detectable / gain) ** 2) - seen.rows


def _on_original(trial: Trial, options: GateOptions, reasons: list[str]) -> tuple[float, Verdict]:
    """Gain on the original domain, and the best verdict that it allows (one-sided bounds at 1 - alpha)."""
    fixed, broken = discordant(trial)
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
