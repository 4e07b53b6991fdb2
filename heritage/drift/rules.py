"""When a difference counts: the guarded rule and the plain ones, with exceptions per column and per window."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from heritage.errors import BadInput

RuleName = Literal["guarded", "psi", "ks", "kl"]


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """Exceptions for one column (or one part of a datetime column): None keeps the general rule.

    `judged` False: counted and shown, never an alarm; True: judged although its kind is not by default.
    """

    warning_effect: float | None = None
    drift_effect: float | None = None
    judged: bool | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """How a window is judged.

    The guarded rule (default) asks for both: significance, p <= alpha over the number of columns of its family; and an
    effect, KS distance or debiased PSI, above `warning_effect` or `drift_effect`. `trigger_effect` is what a repair
    asks for. The plain rules are PSI > `psi_above`, KS p < `ks_p_below` (chi-square p for categorical columns) and
    KL > `kl_above`, each without correction. Fewer than `min_rows` rows are never judged. `schema_share` of rows with
    a missing or mistyped column make the verdict `schema`; `quality_effect` is the smallest reported change of the
    share of missing, infinite or unseen values. `mute` names columns, `mute_windows` ranges of window ids (first and
    last, compared as text) that raise no alarm.
    """

    rule: RuleName = "guarded"
    min_rows: int = 100
    alpha: float = 0.01
    warning_effect: float = 0.05
    drift_effect: float = 0.1
    trigger_effect: float = 0.2
    psi_above: float = 0.1
    ks_p_below: float = 0.05
    kl_above: float = 0.1
    schema_share: float = 0.01
    quality_effect: float = 0.02
    columns: Mapping[str, ColumnRule] = field(default_factory=dict)
    mute: tuple[str, ...] = ()
    mute_windows: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if self.rule not in get_args(RuleName):
            raise BadInput(f"drift rule '{self.rule}' does not exist; choose one of {', '.join(get_args(RuleName))}")
        if self.min_rows < 1 or not 0 < self.alpha < 1 or not 0 < self.ks_p_below < 1:
            raise BadInput("drift rules: min_rows must be at least 1, alpha and ks_p_below must lie between 0 and 1")
        if not 0 <= self.warning_effect <= self.drift_effect:
            raise BadInput(
                f"drift rules: warning_effect {self.warning_effect} must lie between 0 and "
                f"drift_effect {self.drift_effect}"
            )

    def effects(self, column: str) -> tuple[float, float]:
        """Effects above which this column is a warning, and drift."""
        own = self.columns.get(column, ColumnRule())
        warning = self.warning_effect if own.warning_effect is None else own.warning_effect
        drift = self.drift_effect if own.drift_effect is None else own.drift_effect
        return min(warning, drift), drift

    def judges(self, column: str, by_default: bool) -> bool:
        """Whether this column may raise an alarm."""
        own = self.columns.get(column, ColumnRule()).judged
        return column not in self.mute and (by_default if own is None else own)

    def mutes_window(self, window: str) -> bool:
        """Whether the window id lies in a muted range."""
        return any(first <= window <= last for first, last in self.mute_windows)
