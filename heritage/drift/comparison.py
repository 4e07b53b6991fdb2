"""One part of a profile against the same part of a window: its figures and their level."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from heritage.drift import measures
from heritage.drift.measures import Interval
from heritage.drift.parts import Counts, Family, Part
from heritage.drift.rules import Rules

_LEVELS = ("insufficient", "ok", "warning", "drift")


@dataclass(frozen=True, slots=True)
class ColumnVerdict:
    """Figures of one column over its `rows` present values, and its level: insufficient, ok, warning or drift.

    NaN where a measure is not defined (no values; KS and Wasserstein of categories). `effect` is the larger of KS lower
    bound and debiased PSI; `judged` says whether the column may raise an alarm.
    """

    family: Family
    rows: int
    psi: float
    psi_debiased: float
    kl: float
    js: float
    ks: Interval
    wasserstein: float
    p: float
    effect: float
    level: str
    judged: bool

    @property
    def drifted(self) -> bool:
        """Whether this column has drifted."""
        return self.level == "drift"

    def to_json(self) -> dict[str, Any]:
        """The public figures; what is not defined is None."""
        return {
            "psi": _number(self.psi),
            "psi_debiased": _number(self.psi_debiased),
            "kl": _number(self.kl),
            "ks": [_number(self.ks.low), _number(self.ks.high)],
            "p": self.p,
            "drifted": self.drifted,
        }

    def record(self) -> dict[str, Any]:
        """All fields as JSON values."""
        return {k: _number(v) if isinstance(v, float) else v for k, v in asdict(self).items()} | {
            "ks": [_number(self.ks.low), _number(self.ks.high)]
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "ColumnVerdict":
        """From such JSON values; KeyError, TypeError or ValueError for others."""
        figures = {k: measures.NAN if record[k] is None else float(record[k]) for k in _FIGURES}
        low, high = (measures.NAN if v is None else float(v) for v in record["ks"])
        if record["level"] not in _LEVELS:
            raise ValueError(f"level {record['level']!r} does not exist")
        return cls(
            family=Family(record["family"]),
            rows=int(record["rows"]),
            ks=Interval(low, high),
            level=record["level"],
            judged=bool(record["judged"]),
            **figures,
        )


_FIGURES = ("psi", "psi_debiased", "kl", "js", "wasserstein", "p", "effect")


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What judging a part needs beside its counts.

    `comparisons`: judged parts of the family. `share`: part of the rows that is independent evidence. `scale`: unit of
    the Wasserstein distance. `span_s`: seconds that the window spans, for cycles.
    """

    family: Family
    comparisons: int
    share: float = 1.0
    scale: float = measures.NAN
    span_s: int = 0


def compare(part: Part, counts: Counts, rules: Rules, given: Circumstances) -> ColumnVerdict:
    """Figures and level of one part."""
    fine = part.reference
    groups = measures.equal_mass_cells(fine) if part.edges is not None else np.arange(len(fine))
    current, reference = measures.coarse(counts, groups), measures.coarse(fine, groups)
    distance = measures.Interval(measures.NAN, measures.NAN) if part.edges is None else measures.ks(counts, fine)
    debiased = measures.psi_debiased(current, reference)
    p = _p_value(distance, current, reference, given.share)
    effect = float(np.nanmax([distance.low, debiased, 0.0]))
    figures = ColumnVerdict(
        family=given.family,
        rows=int(counts.sum()),
        psi=measures.psi(current, reference),
        psi_debiased=debiased,
        kl=measures.kl(current, reference),
        js=measures.js(current, reference),
        ks=distance,
        wasserstein=_wasserstein(part, counts, given.scale),
        p=p,
        effect=effect,
        level="ok",
        judged=rules.judges(part.name, part.judged),
    )
    return replace(figures, level=_level(part, figures, rules, given))


def _p_value(distance: Interval, current: Counts, reference: Counts, share: float) -> float:
    """Smallest of both tests' p-values, doubled; chi-square alone where there is no order."""
    by_cells = measures.chi_square(current, reference, share)
    if np.isnan(distance.low):
        return by_cells
    by_order = measures.ks_p(distance.low, float(current.sum()) * share, float(reference.sum()))
    return min(1.0, 2.0 * min(by_order, by_cells))


def _level(part: Part, figures: ColumnVerdict, rules: Rules, given: Circumstances) -> str:
    enough = min(figures.rows * given.share, int(part.reference.sum())) >= rules.min_rows
    if not enough or (part.period_s and given.span_s < part.period_s):
        return "insufficient"
    if not figures.judged:
        return "ok"
    if rules.rule == "psi":
        return "drift" if figures.psi > rules.psi_above else "ok"
    if rules.rule == "kl":
        return "drift" if figures.kl > rules.kl_above else "ok"
    if rules.rule == "ks":
        return "drift" if _plain_p(part, figures, given.share) < rules.ks_p_below else "ok"
    warning, drift = rules.effects(part.name)
    if figures.p > rules.alpha / max(given.comparisons, 1) or figures.effect <= warning:
        return "ok"
    return "drift" if figures.effect > drift else "warning"


def _plain_p(part: Part, figures: ColumnVerdict, share: float) -> float:
    if part.edges is None:
        return figures.p
    return measures.ks_p(figures.ks.low, figures.rows * share, float(part.reference.sum()))


def _wasserstein(part: Part, counts: Counts, scale: float) -> float:
    return measures.NAN if part.edges is None else measures.wasserstein(part.edges, counts, part.reference, scale)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
