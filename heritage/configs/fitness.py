"""Study 07: which configurations lead to more descendants: counts by group, and a negative binomial regression."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from heritage.configs.attention import _BINS, _NAMES
from heritage.configs.edges import Edges
from heritage.configs.fields import short
from heritage.configs.figures import GREY, RED, bars, nothing, panels
from heritage.configs.regression import NegativeBinomial, fit_counts
from heritage.configs.study import Study, months
from heritage.configs.table import ConfigTable
from heritage.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZES = (0.1, 0.5, 1.0, 3.0, 7.0, 13.0, 30.0)  # upper ends of the size bins, billions of parameters
_SPOTS = (1.0, 3.0, 7.0, 13.0, 30.0, 70.0)  # sizes that model makers aim at
_NUMBERS = ("config_approx_params_billions", "config_num_hidden_layers", "config_max_position_embeddings")
_SWITCHES = ("uses_moe", "uses_gqa", "uses_quantization")
_LEAST = 0.3  # share of models that must tell a feature before the regression takes it in


def fitness(table: ConfigTable, edges: Edges) -> Study:
    """Descendants of each model, means by size, family, context and feature, rate ratios of a count regression.

    Models without a date are left out of the regression, as an older model had more time for children; likes and
    downloads are no explanatory variables, as they come after the children as much as before.
    """
    counts = descendants(table, edges)
    groups = pd.concat([_means(counts, name, label) for name, label in _groups(table).items()], ignore_index=True)
    model, notes = _regression(table, counts)
    figures = {
        "fitness_regression": partial(_ratios, model), "fitness_by_size": partial(_bars, groups, "size"),
        "fitness_by_family": partial(_bars, groups, "family"), "fitness_by_context": partial(_bars, groups, "context"),
        "fitness_features": partial(_features, groups),
    }  # fmt: skip
    tables = {"fitness_descendants": counts[counts["descendants"] > 0].sort_values("descendants", ascending=False),
              "fitness_groups": groups, "fitness_regression": model.frame}  # fmt: skip
    d = counts["descendants"]
    summary = {"models": len(table), "mean_descendants": d.mean(), "variance": d.var(), "without_any": (d == 0).mean(),
               "regression": model.summary}  # fmt: skip
    return Study("fitness", "Architectural fitness", tables, summary, figures, notes)


def descendants(table: ConfigTable, edges: Edges) -> pd.DataFrame:
    """modelId, children, descendants of each model, counted in the whole graph; cycles are counted once."""
    import networkx as nx

    graph = edges.graph()
    parents = {m for m in graph if graph.out_degree(m)}
    size = {m: len(nx.descendants(graph, m)) for m in table.frame["modelId"] if m in parents}
    ids = table.frame["modelId"]
    children = [graph.out_degree(m) if m in parents else 0 for m in ids]
    return pd.DataFrame({"modelId": ids, "children": children, "descendants": [size.get(m, 0) for m in ids]})


def _groups(table: ConfigTable) -> dict[str, pd.Series]:
    """Label of each model in each grouping; None where unknown."""
    params = table.column("config_approx_params_billions")
    context = table.column("config_max_position_embeddings")
    sizes = ["to 0.1 G", "to 0.5 G", "to 1 G", "to 3 G", "to 7 G", "to 13 G", "to 30 G", "over 30 G"]
    found = {"size": _binned(params, _SIZES, sizes), "family": table.column("family").astype(object),
             "context": _binned(context, _BINS, list(_NAMES)), "sweet spot": _spots(params)}  # fmt: skip
    for switch in ("uses_moe", "uses_gqa", "uses_rope", "uses_quantization"):
        flag = table.column(switch)
        found[short(switch).removeprefix("uses ")] = flag.map({0.0: "without", 1.0: "with"}).astype(object)
    return found


def _binned(values: pd.Series, bounds: tuple[float, ...], names: list[str]) -> pd.Series:
    labels = np.array([*names, None], dtype=object)
    place = np.where(values.isna(), len(names), np.digitize(values, bounds, right=True))
    return pd.Series(labels[place], index=values.index)


def _spots(params: pd.Series) -> pd.Series:
    """Nearest of the usual sizes on a logarithmic scale, for models within 25 % of one; '' for the rest."""
    distance = np.abs(np.log(params.to_numpy(dtype=np.float64)[:, None]) - np.log(_SPOTS))
    known = ~np.isnan(distance).any(axis=1)
    nearest = np.argmin(np.nan_to_num(distance, nan=9.0), axis=1)
    close = known & (np.nan_to_num(distance, nan=9.0).min(axis=1) < np.log(1.25))
    labels = np.array([*(f"about {s:g} G" for s in _SPOTS), "between", None], dtype=object)
    return pd.Series(
        labels[np.where(close, nearest, np.where(known, len(_SPOTS), len(_SPOTS) + 1))], index=params.index
    )


def _means(counts: pd.DataFrame, name: str, label: pd.Series) -> pd.DataFrame:
    """grouping, group, models, mean_descendants with a 95 % bootstrap interval, share_with_any."""
    rng = np.random.default_rng(0)
    d = counts["descendants"].to_numpy(dtype=np.float64)
    rows = []
    for group in dict.fromkeys(sorted((g for g in label.dropna().unique()), key=str)):
        own = d[(label == group).to_numpy()]
        means = rng.choice(own, size=(400, min(len(own), 2000))).mean(axis=1)
        low, high = np.percentile(means, [2.5, 97.5])
        rows.append((name, group, len(own), own.mean(), low, high, float((own > 0).mean())))
    columns = ["grouping", "group", "models", "mean_descendants", "low", "high", "share_with_any"]
    return pd.DataFrame(rows, columns=columns)


def _regression(table: ConfigTable, counts: pd.DataFrame) -> tuple[NegativeBinomial, tuple[str, ...]]:
    """Rate ratios for doubling a number or having a feature, given age; complete rows only, never 0 for missing."""
    notes = []
    month = months(table)
    design = {f"doubling of {short(c)}": np.log2(table.column(c)) for c in _NUMBERS}
    design |= {short(s): table.column(s) for s in _SWITCHES}
    for name in [n for n, v in design.items() if v.notna().mean() < _LEAST]:
        notes.append(f"regression without '{name}': {design.pop(name).notna().mean():.0%} of the models tell it")
    age = month.max() - month + 1.0
    frame = pd.DataFrame(design).assign(descendants=counts["descendants"], age=age).dropna()
    try:
        model = fit_counts(frame["descendants"], frame[list(design)], frame["age"])
    except BadInput as error:
        return NegativeBinomial.empty(str(error)), (*notes, f"regression left out: {error}")
    notes.append(f"regression over {len(frame):,} of {len(table):,} models (complete rows); association, not cause")
    return model, (*notes, *model.notes)


def _ratios(model: NegativeBinomial) -> "Figure":
    frame = model.frame
    figure, (axes,) = panels(height=max(2.4, 1.3 + 0.42 * len(frame)))
    if not len(frame):
        nothing(axes, "regression")
        return figure
    y = list(range(len(frame)))
    ratio = frame["rate_ratio"]
    clear = (frame["low"] > 1) | (frame["high"] < 1)
    for at, (_, row), told in zip(y, frame.iterrows(), clear, strict=True):
        colour = RED if told else GREY
        axes.plot([row["low"], row["high"]], [at, at], color=colour)
        axes.plot([row["rate_ratio"]], [at], "o", color=colour, markersize=6)
        axes.text(min(row["high"], 600.0) * 1.05, at, f"{row['rate_ratio']:.2f}", va="center", fontsize=9)
    axes.axvline(1.0, color="black", linewidth=1)
    _ratio_axis(axes, float(min(frame["low"].min(), 0.5)), float(max(frame["high"].max(), 2.0, ratio.max())))
    axes.set_yticks(y, frame["term"].tolist())
    axes.set_ylim(len(y) - 0.4, -0.6)
    axes.set(title="Descendants: rate ratios of a negative binomial model",
             xlabel="rate ratio, given age (robust 95 %; red: interval without 1)")  # fmt: skip
    return figure


def _ratio_axis(axes: "Axes", low: float, high: float) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(max(low / 1.3, 1e-3), min(high * 1.6, 1e3))
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _bars(groups: pd.DataFrame, grouping: str) -> "Figure":
    part = _in_order(groups[groups["grouping"] == grouping], grouping)
    figure, (axes,) = panels(height=max(2.2, 1.0 + 0.3 * len(part)))
    _mean_bars(axes, part, f"Mean number of descendants by {grouping}")
    return figure


def _in_order(part: pd.DataFrame, grouping: str) -> pd.DataFrame:
    if grouping == "family":
        return part.sort_values("mean_descendants", ascending=False)
    bound = [float("inf") if g.startswith("over") else _unit(g.split()[1]) for g in part["group"]]
    return part.iloc[np.argsort(bound, kind="stable")]


def _unit(text: str) -> float:
    return float(text[:-1]) * 1024 if text.endswith("K") else float(text)


def _mean_bars(axes: "Axes", part: pd.DataFrame, title: str) -> None:
    if not len(part):
        nothing(axes, title)
        return
    told = [f"{m:.2f} (n = {n:,})" for m, n in zip(part["mean_descendants"], part["models"], strict=True)]
    bars(axes, part["group"].tolist(), part["mean_descendants"], told, spans=(part["low"], part["high"]))
    axes.set_xlim(0, axes.get_xlim()[1] * 1.12)
    axes.set(title=title, xlabel="descendants (whiskers: 95 %)")


def _features(groups: pd.DataFrame) -> "Figure":
    part = groups[groups["grouping"].isin([short(s).removeprefix("uses ") for s in (*_SWITCHES, "uses_rope")])]
    part = part.assign(group=part["group"] + " " + part["grouping"])
    figure, (axes,) = panels(height=max(2.2, 1.0 + 0.3 * len(part)))
    _mean_bars(axes, part, "Mean number of descendants with and without a feature")
    return figure
