"""Study 03: model families compared, and how they and their features spread over time."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.configs.contributors import USES
from heritage.configs.derive import FAMILIES
from heritage.configs.fields import short
from heritage.configs.figures import (
    COLOURS,
    GREY,
    boxes,
    heat,
    legend_below,
    month_ticks,
    nothing,
    panels,
    percents,
    plain,
)
from heritage.configs.study import Study, missing_note, month_name, months
from heritage.configs.table import ConfigTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BOXED = {
    "family_hidden_size": "config_hidden_size", "family_num_layers": "config_num_hidden_layers",
    "family_parameters": "config_approx_params_billions", "family_context_length": "config_max_position_embeddings",
    "family_gqa_ratio": "config_gqa_ratio",
}  # fmt: skip
_OVER_TIME = ("config_hidden_size", "config_num_hidden_layers", "config_max_position_embeddings",
              "config_approx_params_billions")  # fmt: skip
_LEAST = 10  # models that a family needs before a monthly median is drawn


def families(table: ConfigTable) -> Study:
    """Medians, features, contexts and grouped attention by family; monthly counts, medians and feature shares."""
    monthly = monthly_counts(table)
    figures: dict[str, Callable[[], Figure]] = {k: partial(_boxes, table, c) for k, c in _BOXED.items()}
    figures["family_counts"] = partial(_counts, table)
    figures["family_feature_adoption"] = partial(_adoption, table)
    if len(monthly):
        figures |= {
            "family_monthly_counts": partial(_lines, monthly, "New models a month", False),
            "family_cumulative": partial(_lines, monthly, "Models in all", True),
            "family_evolution": partial(_evolution, table),
            "feature_share_by_month": partial(_shares, table),
            "family_month_heatmap": partial(_heatmap, monthly),
        }
    summary = family_summary(table)
    head = {"families": int((summary["Count"] > 0).sum()), "unknown_family": int(table.column("family").isna().sum())}
    counts = dict(zip(summary["Family"], summary["Count"], strict=True))
    dated = monthly.assign(month=[month_name(m) for m in monthly.index])[["month", *monthly.columns]]
    return Study("families", "Model families", {"family_summary": summary, "family_monthly_counts": dated},
                 head | {"counts": counts}, figures, missing_note(table, ["createdAt"], "monthly figures"))  # fmt: skip


def by_family(table: ConfigTable, column: str) -> dict[str, NDArray[np.float64]]:
    """Values of `column` by family, families in their fixed order, 'Other' last; unknown families are left out."""
    family, values = table.column("family"), table.column(column)
    present = [f for f in (*FAMILIES, "Other") if (family == f).any()]
    return {f: values[family == f].dropna().to_numpy(dtype=np.float64) for f in present}


def family_summary(table: ConfigTable) -> pd.DataFrame:
    """Family, Count, Median Hidden, Median Layers, Median Context, MoE %, GQA %, RoPE % (of the models that tell)."""
    columns = {
        "Median Hidden": "config_hidden_size", "Median Layers": "config_num_hidden_layers",
        "Median Context": "config_max_position_embeddings", "MoE %": "uses_moe", "GQA %": "uses_gqa",
        "RoPE %": "uses_rope",
    }  # fmt: skip
    values = pd.DataFrame({title: table.column(c) for title, c in columns.items()})
    groups = values.groupby(table.column("family"), sort=False)
    frame = groups.size().rename("Count").to_frame()
    for title in columns:
        frame[title] = 100 * groups[title].mean() if title.endswith("%") else groups[title].median()
    frame = frame.sort_values("Count", ascending=False, kind="stable")
    return frame.rename_axis("Family").reset_index()


def monthly_counts(table: ConfigTable) -> pd.DataFrame:
    """New models of each family (columns) in each month (index, months since 1970, without gaps)."""
    month, family = months(table), table.column("family")
    known = month.notna() & family.notna()
    if not known.any():
        return pd.DataFrame()
    counts = pd.crosstab(month[known], family[known])
    span = np.arange(counts.index.min(), counts.index.max() + 1)
    ordered = [f for f in (*FAMILIES, "Other") if f in counts]
    return counts.reindex(span, fill_value=0)[ordered].rename_axis(None, axis=1)


def _boxes(table: ConfigTable, column: str) -> "Figure":
    figure, (axes,) = panels(height=3.4)
    boxes(axes, by_family(table, column), f"{short(column)} (log scale)")
    axes.set_title(f"{short(column).capitalize()} by family (box: quartiles, whiskers: 5 and 95 %)")
    return figure


def _counts(table: ConfigTable) -> "Figure":
    from heritage.configs.contributors import _families

    return _families(table)


def _adoption(table: ConfigTable) -> "Figure":
    rows = {f: {short(u).removeprefix("uses "): 100 * float(table.column(u)[table.column("family") == f].mean())
                for u in USES[:4]} for f in by_family(table, USES[0])}  # fmt: skip
    figure, (axes,) = panels(height=3.6)
    if rows:
        heat(axes, pd.DataFrame(rows).T, lambda v: f"{v:.0f}", "% of models that tell", (0, 100))
    else:
        nothing(axes, "families")
    axes.set_title("Features by family (%)")
    return figure


def _colour(family: str) -> str:
    return GREY if family == "Other" else COLOURS[FAMILIES.index(family)]


def _lines(monthly: pd.DataFrame, title: str, summed: bool) -> "Figure":
    figure, (axes,) = panels(height=3.8)
    for family in monthly:
        values = monthly[family].cumsum() if summed else monthly[family]
        axes.plot(monthly.index, values, color=_colour(str(family)), label=str(family))
    month_ticks(axes, monthly.index.min(), monthly.index.max())
    axes.set(title=f"{title}, by family", ylabel="models")
    legend_below(figure, axes)
    return figure


def _evolution(table: ConfigTable) -> "Figure":
    month, family = months(table), table.column("family")
    large = [f for f in FAMILIES if (family == f).sum() > _LEAST]
    figure, axes = panels(2, 2, height=2.9)
    for each, column in zip(axes, _OVER_TIME, strict=True):
        for name in large:
            rows = (family == name) & month.notna()
            medians = table.column(column)[rows].groupby(month[rows]).median().dropna()
            each.plot(medians.index, medians, color=_colour(name), label=name, marker="o", markersize=2.5)
        _finish(each, month, short(column))
    legend_below(figure, axes[0])
    figure.suptitle(f"Monthly medians of families with more than {_LEAST} models", fontsize=11.5, fontweight="bold")
    return figure


def _finish(axes: "Axes", month: pd.Series, name: str) -> None:
    if not axes.lines or not any(len(line.get_xdata()) for line in axes.lines):  # type: ignore[arg-type]
        nothing(axes, name)
        return
    axes.set_title(name.capitalize())
    plain(axes, "y")
    month_ticks(axes, float(month.min()), float(month.max()))


def _shares(table: ConfigTable) -> "Figure":
    month = months(table)
    figure, (axes,) = panels(height=3.6)
    for colour, use in zip(COLOURS, USES[:4], strict=False):
        shares = table.column(use).groupby(month).mean().dropna()
        if len(shares):
            axes.plot(
                shares.index, shares, color=colour, label=short(use).removeprefix("uses "), marker="o", markersize=3
            )
    axes.set(title="Share of new models that use a feature", ylabel="share of models that tell", ylim=(-0.03, 1.03))
    percents(axes, "y")
    month_ticks(axes, float(month.min()), float(month.max()))
    legend_below(figure, axes)
    return figure


def _heatmap(monthly: pd.DataFrame) -> "Figure":
    recent = monthly.tail(24).T
    figure, (axes,) = panels(height=3.9, width=10)
    named = recent.set_axis([month_name(m) for m in monthly.index[-24:]], axis=1).astype(float)
    heat(axes, named, lambda v: f"{v:.0f}" if v else "", "new models", (0, float(max(named.to_numpy().max(), 1))))
    axes.set_title("New models by family and month" + (" (last 24 months)" if len(monthly) > 24 else ""))
    return figure
