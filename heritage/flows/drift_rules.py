"""The settings' drift section as the rules that the core judges by."""

from heritage.drift.rules import ColumnRule, Rules
from heritage.settings import DriftSettings


def rules_of(own: DriftSettings) -> Rules:
    """Rules for all models or, with `settings.drift.for_model(name)`, for one; `BadInput` for what makes no sense."""
    columns = {name: ColumnRule(c.warning_effect, c.drift_effect, c.judged) for name, c in own.columns.items()}
    return Rules(
        rule=own.rule,
        min_rows=own.min_rows,
        alpha=own.alpha,
        warning_effect=own.warning_effect,
        drift_effect=own.drift_effect,
        trigger_effect=own.trigger_effect,
        psi_above=own.psi_above,
        ks_p_below=own.ks_p_below,
        kl_above=own.kl_above,
        columns=columns,
        mute=own.mute,
        mute_windows=own.mute_windows,
    )
