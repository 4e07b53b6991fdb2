"""Study 05: attention heads, grouped queries, context length and position encoding."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from heritage.configs.figures import BLUE, GREEN, ORANGE, bars, histogram, nothing, panels, plain
from heritage.configs.study import Study
from heritage.configs.table import ConfigTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# upper ends of the context bins, tokens
_BINS = (512, 2_048, 4_096, 8_192, 32_768, 131_072)
_NAMES = ("to 512", "to 2K", "to 4K", "to 8K", "to 32K", "to 128K", "over 128K")


def attention(table: ConfigTable) -> Study:
    """Context bins, grouped-query ratios, rope theta and scaling, head sizes, context per layer."""
    contexts, ratios = context_bins(table), gqa_ratios(table)
    scaling = _counted(table, "config_rope_scaling_type")
    figures = {
        "attention_context_length": partial(_bars, contexts, "context", "Context length"),
        "attention_gqa_ratio": partial(_bars, ratios, "heads_per_kv_head", "Query heads a key-value head serves"),
        "attention_rope_theta": partial(_histogram, table, "config_rope_theta", "rope theta", ORANGE),
        "attention_rope_scaling": partial(_bars, scaling, scaling.columns[0], "Rope scaling (models that state one)"),
        "attention_head_dimension": partial(_bars, _head_dimensions(table), "head_dimension", "Head dimension"),
        "attention_heads_hidden": partial(_heads_hidden, table),
        "attention_context_per_layer": partial(_histogram, table, "config_context_per_layer", "tokens a layer", GREEN),
    }  # fmt: skip
    summary = {
        "median_context": table.column("config_max_position_embeddings").median(),
        "standard": _share(table, 1, 1), "grouped": _share(table, 1.0001, np.inf),
        "multi_query": int((table.column("config_num_key_value_heads") == 1).sum()),
    }  # fmt: skip
    return Study(
        "attention", "Attention and context", {"context_bins": contexts, "gqa_ratios": ratios}, summary, figures
    )


def context_bins(table: ConfigTable) -> pd.DataFrame:
    """context ('to 2K'), models, share of the models that tell."""
    values = table.column("config_max_position_embeddings").dropna()
    counts = np.bincount(np.digitize(values, _BINS, right=True), minlength=len(_NAMES))
    return pd.DataFrame({"context": _NAMES, "models": counts, "share": counts / max(len(values), 1)})


def gqa_ratios(table: ConfigTable) -> pd.DataFrame:
    """heads_per_kv_head, models, share; ratios come from validated heads, so none are artefacts of shifted columns."""
    ratio = table.column("config_gqa_ratio").dropna()
    counts = ratio.value_counts().sort_index().rename("models").rename_axis("heads_per_kv_head").reset_index()
    return counts.assign(share=counts["models"] / max(len(ratio), 1))


def _share(table: ConfigTable, low: float, high: float) -> float:
    ratio = table.column("config_gqa_ratio").dropna()
    return float(((ratio >= low) & (ratio <= high)).mean()) if len(ratio) else float("nan")


def _counted(table: ConfigTable, column: str) -> pd.DataFrame:
    counts = table.column(column).value_counts().head(10).rename("models").reset_index()
    return counts.assign(share=counts["models"] / max(int(counts["models"].sum()), 1))


def _head_dimensions(table: ConfigTable) -> pd.DataFrame:
    counts = table.column("config_head_dimension").value_counts().head(12).sort_index()
    frame = counts.rename("models").rename_axis("head_dimension").reset_index()
    return frame.assign(share=frame["models"] / max(int(table.column("config_head_dimension").notna().sum()), 1))


def _bars(frame: pd.DataFrame, column: str, title: str) -> "Figure":
    top = frame.nlargest(12, "models").sort_index()
    figure, (axes,) = panels(height=max(2.0, 1.0 + 0.24 * len(top)))
    if not len(top):
        nothing(axes, title)
        return figure
    labels = [f"{v:g}" if isinstance(v, float) else str(v) for v in top[column]]
    told = [f"{m:,} ({s:.1%})" for m, s in zip(top["models"], top["share"], strict=True)]
    bars(axes, labels, top["models"], told)
    axes.set(title=title, xlabel="models")
    return figure


def _histogram(table: ConfigTable, column: str, name: str, colour: str) -> "Figure":
    figure, (axes,) = panels(height=3.0)
    histogram(axes, table.column(column), f"{name} (log scale)", log=True, colour=colour)
    axes.set_title(name.capitalize())
    return figure


def _heads_hidden(table: ConfigTable) -> "Figure":
    columns = {"hidden": "config_hidden_size", "heads": "config_num_attention_heads"}
    pair = pd.DataFrame({k: table.column(c) for k, c in columns.items()}).dropna().value_counts().reset_index()
    figure, (axes,) = panels(height=4.2)
    if not len(pair):
        nothing(axes, "heads and hidden size")
        return figure
    axes.scatter(pair["heads"], pair["hidden"], s=8 + 6 * np.sqrt(pair["count"]), color=BLUE, alpha=0.45, linewidths=0)
    heads = np.array([pair["heads"].min(), pair["heads"].max()])
    for size, style in ((64, "--"), (128, "-")):
        axes.plot(heads, heads * size, color="black", linestyle=style, linewidth=1.1, label=f"head dimension {size}")
    plain(axes)
    plain(axes, "y")
    axes.set(title="Heads and hidden size", xlabel="attention heads", ylabel="hidden size")
    axes.legend(loc="lower right")
    return figure
