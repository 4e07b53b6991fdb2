"""Study 04: mixtures of experts: how many, how large, how used, by whom, and how they differ from dense models."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from heritage.configs.fields import short
from heritage.configs.figures import BLUE, ORANGE, bars, boxes, histogram, nothing, panels, percents
from heritage.configs.intervals import wilson
from heritage.configs.study import Study
from heritage.configs.table import ConfigTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EXPERTS, _ACTIVE, _USED = "config_n_routed_experts", "config_num_experts_per_tok", "config_moe_expert_utilization"
_COMPARED = ("config_hidden_size", "config_num_hidden_layers", "config_max_position_embeddings", "config_gqa_ratio")


def moe(table: ConfigTable) -> Study:
    """Share of mixtures of experts, their expert counts, utilisation, organisations and designs."""
    mixtures = table.take((table.column("uses_moe") == 1).to_numpy())
    designs = expert_designs(mixtures)
    figures = {
        "moe_adoption": partial(_adoption, table), "moe_expert_counts": partial(_counts, mixtures),
        "moe_utilization": partial(_utilisation, mixtures),
        "moe_organizations": partial(_top, mixtures, "organization"),
        "moe_vs_dense": partial(_against_dense, table), "moe_configurations": partial(_designs, designs),
        "moe_by_family": partial(_by_family, table), "moe_model_types": partial(_top, mixtures, "config_model_type"),
    }  # fmt: skip
    summary = moe_summary(table)
    notes = () if len(mixtures) else ("no model is known to be a mixture of experts",)
    tables = {"moe_summary": summary, "moe_configurations": designs}
    return Study("moe", "Mixtures of experts", tables, dict(zip(summary["metric"], summary["value"], strict=True)),
                 figures, notes)  # fmt: skip


def moe_summary(table: ConfigTable) -> pd.DataFrame:
    """metric, value: total_moe, adoption_rate (% of the models that tell), most_common_experts, most_common_per_tok."""
    flag = table.column("uses_moe")
    mixtures = (flag == 1).to_numpy()
    stats = {"total_moe": float(mixtures.sum()), "adoption_rate": 100.0 * float(flag.mean())}
    for metric, column in (("experts", _EXPERTS), ("per_tok", _ACTIVE)):
        common = table.column(column)[mixtures].mode()
        stats[f"most_common_{metric}"] = float(common.iloc[0]) if len(common) else float("nan")
    return pd.DataFrame({"metric": list(stats), "value": list(stats.values())})


def expert_designs(mixtures: ConfigTable) -> pd.DataFrame:
    """design ('64 experts, 6 active'), experts, active, models; most common first."""
    pair = pd.DataFrame({"experts": mixtures.column(_EXPERTS), "active": mixtures.column(_ACTIVE)}).dropna()
    counts = pair.astype(int).value_counts().rename("models").reset_index()
    names = [f"{e} experts, {a} active" for e, a in zip(counts["experts"], counts["active"], strict=True)]
    return counts.assign(design=names)[["design", "experts", "active", "models"]]


def _adoption(table: ConfigTable) -> "Figure":
    flag = table.column("uses_moe")
    counts = {"dense": int((flag == 0).sum()), "mixture of experts": int((flag == 1).sum()),
              "does not tell": int(flag.isna().sum())}  # fmt: skip
    figure, (axes,) = panels(height=2.2)
    told = [f"{n:,} ({n / max(len(table), 1):.1%})" for n in counts.values()]
    bars(axes, list(counts), list(counts.values()), told, colour=[BLUE, ORANGE, "#B0B0B0"])
    axes.set(title="Mixtures of experts in the fleet", xlabel="models")
    return figure


def _counts(mixtures: ConfigTable) -> "Figure":
    figure, both = panels(1, 2, height=3.0)
    for axes, column in zip(both, (_EXPERTS, _ACTIVE), strict=True):
        counts = mixtures.column(column).value_counts().head(10).sort_index()
        _bars_or_nothing(axes, [f"{v:g}" for v in counts.index], counts.to_numpy(), short(column))
        axes.set_title("Routed experts" if column == _EXPERTS else "Experts a token goes to")
    return figure


def _bars_or_nothing(axes: "Axes", labels: list[str], values: ArrayLike, name: str) -> None:
    if len(labels):
        bars(axes, labels, values)
        axes.set_xlabel("models")
    else:
        nothing(axes, name)


def _utilisation(mixtures: ConfigTable) -> "Figure":
    figure, (axes,) = panels(height=3.0)
    histogram(axes, mixtures.column(_USED), "experts a token goes to, % of all routed experts", bins=25)
    axes.set_title("Expert utilisation")
    return figure


def _top(mixtures: ConfigTable, column: str) -> "Figure":
    counts = mixtures.column(column).value_counts().head(15)
    figure, (axes,) = panels(height=max(2.0, 0.9 + 0.22 * len(counts)))
    _bars_or_nothing(axes, [str(c) for c in counts.index], counts.to_numpy(), short(column))
    axes.set_title(f"Mixtures of experts by {short(column)} (top 15)")
    return figure


def _against_dense(table: ConfigTable) -> "Figure":
    flag = table.column("uses_moe")
    figure, axes = panels(2, 2, height=2.1)
    for each, column in zip(axes, _COMPARED, strict=True):
        groups = {
            name: table.column(column)[flag == v].to_numpy(dtype=np.float64) for name, v in (("dense", 0), ("MoE", 1))
        }
        boxes(each, groups, f"{short(column)} (log scale)")
    figure.suptitle("Mixtures of experts against dense models", fontsize=11.5, fontweight="bold")
    return figure


def _designs(designs: pd.DataFrame) -> "Figure":
    top = designs.head(10)
    figure, (axes,) = panels(height=max(2.0, 0.9 + 0.25 * len(top)))
    _bars_or_nothing(axes, top["design"].tolist(), top["models"].to_numpy(), "expert designs")
    axes.set_title("Most common designs")
    return figure


def _by_family(table: ConfigTable) -> "Figure":
    flag = table.column("uses_moe")
    known = flag.notna()
    groups = flag[known].groupby(table.column("family")[known])
    frame = pd.DataFrame({"k": groups.sum(), "n": groups.size()}).sort_values("n", ascending=False)
    figure, (axes,) = panels(height=max(2.0, 0.9 + 0.26 * len(frame)))
    if len(frame):
        low, high = wilson(frame["k"], frame["n"])
        told = [f"{k:.0f} of {n:,}" for k, n in zip(frame["k"], frame["n"], strict=True)]
        bars(axes, frame.index.tolist(), frame["k"] / frame["n"], told, spans=(low, high))
        percents(axes)
        axes.set_xlabel("share of models that tell (whiskers: 95 %)")
    else:
        nothing(axes, "families")
    axes.set_title("Share of mixtures of experts by family")
    return figure
