"""Study 02: how parameters are distributed and how they go together."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from heritage.configs.contributors import DESCRIBED
from heritage.configs.fields import short
from heritage.configs.figures import BLUE, GREEN, ORANGE, bars, heat, histogram, nothing, panels, plain
from heritage.configs.study import Study
from heritage.configs.table import ConfigTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SINGLE = {
    "hidden_size_dist": "config_hidden_size", "num_layers_dist": "config_num_hidden_layers",
    "vocab_size_dist": "config_vocab_size", "context_length_dist": "config_max_position_embeddings",
    "rope_theta_dist": "config_rope_theta",
}  # fmt: skip
_CORRELATED = DESCRIBED[:8]
# what counts as a plausible ratio: outside lie other layouts and errors, which would hide the shape
FFN_RANGE, HEAD_RANGE, GQA_RANGE = (1.0, 10.0), (32.0, 256.0), (1.0, 32.0)


def parameters(table: ConfigTable) -> Study:
    """Distributions of hidden size, layers, vocabulary, context, heads, theta; correlations; scaling ratios."""
    correlation, used = correlations(table)
    statistics = pd.DataFrame({c: table.column(c) for c in DESCRIBED}).describe(
        percentiles=[0.05, 0.25, 0.5, 0.75, 0.95]
    )
    figures: dict[str, Callable[[], Figure]] = {
        key: partial(_both_scales, table, column) for key, column in _SINGLE.items()
    }
    figures |= {
        "attention_heads_dist": lambda: _heads(table),
        "parameter_correlations": lambda: _correlations(correlation, used),
        "scaling_relationships": lambda: _scaling(table),
        "head_dim_gqa": lambda: _head_dim_gqa(table),
        "parameter_dashboard": lambda: _dashboard(table),
    }
    tables = {
        "parameter_statistics": statistics.T.reset_index(names="parameter"),
        "parameter_correlations": correlation.reset_index(names="parameter"),
    }
    summary = {"complete_rows": used, "median_ffn_ratio": ffn_ratio(table).median(),
               "median_head_dimension": head_dimension(table).median()}  # fmt: skip
    notes = () if used >= 3 else (f"correlations left out: {used} rows have all of {len(_CORRELATED)} numbers",)
    return Study("parameters", "Parameter distributions", tables, summary, figures, notes)


def correlations(table: ConfigTable) -> tuple[pd.DataFrame, int]:
    """Pearson correlation of the eight main numbers over rows that have all of them, and how many those are."""
    present = [c for c in _CORRELATED if table.column(c).notna().any()]
    complete = pd.DataFrame({c: table.column(c) for c in present}).dropna()
    frame = complete.corr() if len(complete) >= 3 else pd.DataFrame(np.nan, index=present, columns=present)
    return frame, len(complete)


def ffn_ratio(table: ConfigTable) -> pd.Series:
    """Feed-forward width over hidden size, where it lies in 1 to 10."""
    return _within(table.column("config_ffn_ratio"), *FFN_RANGE)


def head_dimension(table: ConfigTable) -> pd.Series:
    """Numbers a head has, where 32 to 256."""
    return _within(table.column("config_head_dimension"), *HEAD_RANGE)


def grouped_ratio(table: ConfigTable) -> pd.Series:
    """Heads a key-value head serves, where above 1 and up to 32."""
    ratio = table.column("config_gqa_ratio")
    return ratio[(ratio > GQA_RANGE[0]) & (ratio <= GQA_RANGE[1])]


def _within(values: pd.Series, low: float, high: float) -> pd.Series:
    return values[(values >= low) & (values <= high)]


def _both_scales(table: ConfigTable, column: str) -> "Figure":
    figure, (left, right) = panels(1, 2, height=3.1)
    values = table.column(column).to_numpy(dtype=float)
    # the linear panel ends at the 99th percentile: a few giants would squeeze everything else into one bar
    end = np.nanpercentile(values, 99) if np.isfinite(values).any() else 1.0
    histogram(left, values[values <= end], short(column))
    plain(left, log=False)
    left.set_title("to the 99th percentile")
    histogram(right, values, f"{short(column)} (log scale)", log=True, colour=ORANGE)
    right.set_title("all")
    figure.suptitle(short(column).capitalize(), fontsize=11.5, fontweight="bold")
    return figure


def _heads(table: ConfigTable) -> "Figure":
    figure, both = panels(1, 2, height=3.1)
    for axes, column in zip(both, ("config_num_attention_heads", "config_num_key_value_heads"), strict=True):
        counts = table.column(column).value_counts().head(10).sort_index()
        bars(axes, [int(v) for v in counts.index], counts.to_numpy())
        axes.set(title=short(column).removeprefix("num ").capitalize(), xlabel="models")
    figure.suptitle("Ten most common numbers of heads", fontsize=11.5, fontweight="bold")
    return figure


def _correlations(correlation: pd.DataFrame, used: int) -> "Figure":
    figure, (axes,) = panels(height=5.2)
    if used < 3:
        nothing(axes, "rows with all eight numbers")
        return figure
    names = [short(c) for c in correlation.columns]
    heat(
        axes, correlation.set_axis(names).set_axis(names, axis=1), lambda v: f"{v:.2f}", "Pearson correlation", (-1, 1)
    )
    axes.set_title(f"How parameters go together ({used:,} complete rows)")
    return figure


def _scaling(table: ConfigTable) -> "Figure":
    figure, (left, right) = panels(1, 2, height=3.4)
    _cloud(left, table, "config_num_hidden_layers", "config_hidden_size")
    left.set_title("Depth and width")
    histogram(right, ffn_ratio(table), "feed-forward width / hidden size", colour=GREEN)
    right.set_title("Feed-forward ratio")
    return figure


def _cloud(axes: "Axes", table: ConfigTable, x: str, y: str) -> None:
    pair = pd.DataFrame({"x": table.column(x), "y": table.column(y)}).dropna().value_counts().reset_index()
    if not len(pair):
        nothing(axes, f"{short(x)} and {short(y)}")
        return
    axes.scatter(pair["x"], pair["y"], s=6 + 5 * np.sqrt(pair["count"]), color=BLUE, alpha=0.45, linewidths=0)
    axes.set(xlabel=short(x), ylabel=short(y))
    plain(axes)
    plain(axes, "y")


def _head_dim_gqa(table: ConfigTable) -> "Figure":
    figure, both = panels(1, 2, height=3.1)
    for axes, values, name in zip(both, (head_dimension(table), grouped_ratio(table)),
                                  ("head dimension", "heads per key-value head"), strict=True):  # fmt: skip
        counts = values.value_counts().head(10).sort_index()
        if not len(counts):
            nothing(axes, name)
            continue
        bars(axes, [f"{v:g}" for v in counts.index], counts.to_numpy())
        axes.set(title=name.capitalize(), xlabel="models")
    return figure


def _dashboard(table: ConfigTable) -> "Figure":
    figure, axes = panels(3, 2, height=2.5)
    columns = (*list(_SINGLE.values())[:4], "config_approx_params_billions", "config_num_attention_heads")
    for each, column in zip(axes, columns, strict=True):
        histogram(each, table.column(column), short(column), log=True)
        each.set_title(short(column).capitalize())
        each.set_xlabel(each.get_xlabel().split("\n")[-1])
    return figure
