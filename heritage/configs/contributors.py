"""Study 01: who contributes configurations, and what they use."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from heritage.configs.derive import FAMILIES
from heritage.configs.fields import CONTEXT_LEVELS, SIZE_LEVELS, short
from heritage.configs.figures import COLOURS, GREY, bars, heat, nothing, panels, percents
from heritage.configs.intervals import wilson
from heritage.configs.study import Study
from heritage.configs.table import ConfigTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

USES = ("uses_moe", "uses_gqa", "uses_rope", "uses_quantization", "uses_lora")
DESCRIBED = (
    "config_hidden_size", "config_intermediate_size", "config_num_hidden_layers", "config_num_attention_heads",
    "config_num_key_value_heads", "config_vocab_size", "config_max_position_embeddings", "config_rope_theta",
    "config_head_dimension", "config_gqa_ratio", "config_approx_params_billions",
)  # fmt: skip


def contributors(table: ConfigTable) -> Study:
    """Organisations, feature adoption, families, sizes and contexts of the fleet."""
    organisations = _counts(table, "organization")
    adoption = feature_adoption(table)
    tables = {
        "summary_stats": summary_stats(table), "contributors": organisations, "feature_adoption": adoption,
        "parameter_describe": describe(table),
    }  # fmt: skip
    figures = {
        "top_contributors": lambda: _top(organisations.head(30), "organization", "Who contributes configurations"),
        "feature_adoption": lambda: _adoption(adoption),
        "model_families": lambda: _families(table),
        "size_context_distribution": lambda: _sizes(table),
        "feature_adoption_by_org": lambda: _by_organisation(table),
        "model_types": lambda: _top(_counts(table, "config_model_type").head(20), "config_model_type", "Model types"),
    }
    summary = dict(zip(tables["summary_stats"]["metric"], tables["summary_stats"]["value"], strict=True))
    return Study("contributors", "Contributors and summary", tables, summary, figures)


def summary_stats(table: ConfigTable) -> pd.DataFrame:
    """metric, value: the nine numbers of the published summary."""
    stats: dict[str, float] = {
        "total_models": len(table),
        "unique_orgs": table.column("organization").nunique(),
        "unique_model_types": table.column("config_model_type").nunique(),
    }
    stats |= {f"{u.removeprefix('uses_')}_count": int((table.column(u) == 1).sum()) for u in USES[:3]}
    for metric, column in (
        ("hidden_size", "hidden_size"),
        ("layers", "num_hidden_layers"),
        ("vocab_size", "vocab_size"),
    ):
        stats[f"median_{metric}"] = float(table.column(f"config_{column}").median())
    return pd.DataFrame({"metric": list(stats), "value": list(stats.values())})


def feature_adoption(table: ConfigTable) -> pd.DataFrame:
    """feature, n_true, n_known, n_unknown, share of the known with Wilson limits; unknown is not 'no'."""
    rows = [(u, int((table.column(u) == 1).sum()), int(table.column(u).notna().sum())) for u in USES]
    frame = pd.DataFrame(rows, columns=["feature", "n_true", "n_known"])
    frame["n_unknown"] = len(table) - frame["n_known"]
    frame["share"] = np.where(frame["n_known"] > 0, frame["n_true"] / frame["n_known"].clip(lower=1), np.nan)
    frame["low"], frame["high"] = wilson(frame["n_true"], frame["n_known"])
    return frame


def describe(table: ConfigTable) -> pd.DataFrame:
    """count, mean, std, min, quartiles, max, non_null and non_null_pct of eleven numeric columns."""
    frame = pd.DataFrame({c: table.column(c) for c in DESCRIBED}).describe().T
    frame["non_null"] = frame["count"].astype(int)
    frame["non_null_pct"] = 100.0 * frame["count"] / max(len(table), 1)
    return frame.reset_index(names="parameter")


def _counts(table: ConfigTable, column: str) -> pd.DataFrame:
    counts = table.column(column).value_counts(sort=True).rename("models").reset_index()
    return counts.assign(share=counts["models"] / max(len(table), 1))


def _top(counts: pd.DataFrame, column: str, title: str) -> "Figure":
    figure, (axes,) = panels(height=max(2.2, 0.8 + 0.21 * len(counts)))
    told = [f"{m:,} ({s:.1%})" for m, s in zip(counts["models"], counts["share"], strict=True)]
    bars(axes, counts[column].tolist(), counts["models"], told)
    axes.set(title=f"{title} (top {len(counts)})", xlabel="models")
    return figure


def _adoption(adoption: pd.DataFrame) -> "Figure":
    figure, (axes,) = panels(height=2.8)
    told = [
        f"{share:.1%} of {known:,} known" if known else "no data"
        for share, known in zip(adoption["share"], adoption["n_known"], strict=True)
    ]
    bars(axes, [short(u).removeprefix("uses ") for u in adoption["feature"]], adoption["share"], told,
         spans=(adoption["low"], adoption["high"]))  # fmt: skip
    percents(axes)
    axes.set(title="Feature adoption", xlabel="share of models that tell (whiskers: 95 %)")
    top = float(np.nanmax(adoption["high"].to_numpy(dtype=float), initial=0.1))
    axes.set_xlim(0, top * 1.35)
    return figure


def _families(table: ConfigTable) -> "Figure":
    counts = table.column("family").fillna("unknown").value_counts()
    counts = counts.reindex([f for f in (*FAMILIES, "Other", "unknown") if f in counts.index])
    counts = counts.sort_values(ascending=False, kind="stable")
    colours = [GREY if name in ("Other", "unknown") else COLOURS[0] for name in counts.index]
    figure, (axes,) = panels(height=3.2)
    told = [f"{n:,} ({n / max(len(table), 1):.1%})" for n in counts]
    bars(axes, counts.index.tolist(), counts.to_numpy(), told, colour=colours)
    axes.set(title="Model families", xlabel="models")
    return figure


def _sizes(table: ConfigTable) -> "Figure":
    figure, both = panels(1, 2, height=3.0)
    sizes = ("under 1 G", "1-10 G", "10-70 G", "70 G and more")
    names = {"size_category": ("Size (parameters)", SIZE_LEVELS, sizes),
             "context_category": ("Context (tokens)", CONTEXT_LEVELS,
                                  ("to 2k", "to 8k", "to 32k", "more"))}  # fmt: skip
    for axes, (column, (title, levels, ranges)) in zip(both, names.items(), strict=True):
        counts = table.column(column).value_counts().reindex(levels).fillna(0)
        known = int(counts.sum())
        labels = [f"{level.replace('_', ' ')}\n{r}" for level, r in zip(levels, ranges, strict=True)]
        bars(axes, labels, counts, [f"{n / max(known, 1):.0%}" for n in counts])
        axes.set(title=title, xlabel=f"models ({len(table) - known:,} unknown)")
    return figure


def _by_organisation(table: ConfigTable) -> "Figure":
    top = table.column("organization").value_counts().head(20).index
    chosen = table.frame["organization"].isin(top)
    values = pd.DataFrame({short(u).removeprefix("uses "): table.column(u) for u in USES[:4]})
    shares = values[chosen].groupby(table.frame.loc[chosen, "organization"]).mean().reindex(top)
    figure, (axes,) = panels(height=1.6 + 0.25 * len(top))
    if shares.notna().any(axis=None):
        heat(axes, 100 * shares, lambda v: f"{v:.0f}", "% of models that tell", (0, 100))
    else:
        nothing(axes, "features by organisation")
    axes.set_title("Feature adoption of the twenty largest contributors (%)")
    return figure
