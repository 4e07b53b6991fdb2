"""Study 09: drift along parent-child edges and the mutational landscape, with the published tables and pictures."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from heritage.configs.drift import PAIR_COLUMNS, comparable, drift_by, drift_edges, profile, summary
from heritage.configs.edges import Edges, cycles
from heritage.configs.fields import short
from heritage.configs.figures import BLUE, GREEN, ORANGE, RED, bars, heat, nothing, panels, percents
from heritage.configs.gower import Gower, encode
from heritage.configs.mutations import hot_spots, mutation_rates, mutation_states
from heritage.configs.study import Study
from heritage.configs.table import ConfigTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TYPES = ("Numeric", "Categorical", "Boolean")


def drift(
    table: ConfigTable, edges: Edges, rule: Gower | None = None, features: Sequence[str] | None = None, seed: int = 42
) -> Study:
    """Drift of every edge, by relation and family; mutation rates with what is missing told apart; hot spots."""
    found = drift_edges(table, edges, rule, features)
    _, outside = edges.known(table)
    if not len(found):
        head = {"edges": 0, "edges_without_config": outside}
        empty = {"config_drift_pairs": found[PAIR_COLUMNS]}
        return Study("drift", "Config drift", empty, head, {}, ("no edge has a configuration at both ends",))
    rng = np.random.default_rng(seed)
    rates, states = mutation_rates(table, edges, features), mutation_states(table, edges, features)
    relation, family = drift_by(found, "relation", rng), drift_by(found, "parent_family", rng)
    parts = profile(table, found, encode(table, rule, features))
    tables = {
        "config_drift_pairs": found[PAIR_COLUMNS], "config_mutation_rates": rates,
        "config_drift_details": found[["parent_id", "child_id", "relation", "drift", "comparable"]],
        "config_mutation_states": states, "config_drift_by_relation": relation, "config_drift_by_family": family,
        "config_family_profiles": parts.reset_index(names="family"),
        "config_hot_spots_family": hot_spots(table, edges, "family", features),
        "config_hot_spots_relation": hot_spots(table, edges, "relation", features),
    }  # fmt: skip
    figures = {
        "config_drift_analysis": partial(_analysis, found, family), "mutational_landscape": partial(_mutations, rates),
        "drift_by_relation": partial(_relations, relation), "mutation_outcomes": partial(_outcomes, states),
        "family_mutation_profiles": partial(_profiles, parts),
    }  # fmt: skip
    return Study("drift", "Config drift", tables, summary(found, outside, rng), figures, _notes(edges, found))


def _notes(edges: Edges, found: pd.DataFrame) -> tuple[str, ...]:
    circles = cycles(edges)
    notes = [f"{len(circles)} groups of models are one another's ancestors: {circles[0][:4]} ..."] if circles else []
    few = int((found["comparable"].between(1, 2)).sum())
    notes += [f"{few:,} edges share only one or two fields: their drift is coarse"] if few else []
    same = found["parent_family"].eq("Unknown").mean()
    notes += [f"{same:.0%} of the edges have a parent of unknown family"] if same else []
    return tuple(notes)


def _analysis(found: pd.DataFrame, family: pd.DataFrame) -> "Figure":
    usable = comparable(found)
    d = usable["drift"].to_numpy(dtype=np.float64)
    figure, (overall, within, by_family, cumulative) = panels(2, 2, height=3.4, width=9.6)
    middle = float(np.median(d)) if len(d) else float("nan")
    overall.hist(d, bins=50, range=(0, 1), color=BLUE)
    overall.axvline(middle, color=RED, linestyle="--", label=f"median {middle:.3f}")
    overall.set(title="Drift along parent-child edges", xlabel="config drift (Gower distance)", ylabel="edges")
    overall.legend(loc="upper right")
    _within(within, usable)
    _family_bars(by_family, family)
    cumulative.ecdf(d, color=BLUE)
    cumulative.axvline(middle, color=RED, linestyle="--", label=f"median {middle:.3f}")
    cumulative.set(title="Cumulative distribution", xlabel="config drift", ylabel="share of edges", xlim=(0, 1))
    percents(cumulative, "y")
    return figure


def _within(axes: "Axes", usable: pd.DataFrame) -> None:
    known = usable[(usable["parent_family"] != "Unknown") & (usable["child_family"] != "Unknown")]
    groups = [known.loc[known["same_family"] == same, "drift"] for same in (True, False)]
    if not any(len(g) for g in groups):
        nothing(axes, "edges with known families")
        return
    names = [
        f"{name} (n = {len(g):,})" for name, g in zip(("within a family", "between families"), groups, strict=True)
    ]
    # shares, not counts: edges between families are rare and would not be seen
    weights = [np.full(len(g), 1 / max(len(g), 1)) for g in groups]
    axes.hist(groups, bins=25, range=(0, 1), weights=weights, label=names, color=[GREEN, ORANGE])
    axes.set(title="Within and between families", xlabel="config drift", ylabel="share of edges")
    percents(axes, "y")
    axes.legend(loc="upper right")


def _family_bars(axes: "Axes", family: pd.DataFrame) -> None:
    top = family[family["parent_family"] != "Unknown"].head(10)
    if not len(top):
        nothing(axes, "families")
        return
    told = [f"{m:.3f} (n = {n:,})" for m, n in zip(top["mean"], top["n"], strict=True)]
    bars(axes, top["parent_family"].tolist(), top["mean"], told, spans=(top["low"], top["high"]))
    axes.plot(top["median"], list(range(len(top))), "D", color="white", markeredgecolor="black", markersize=4.5)
    axes.set_xlim(0, axes.get_xlim()[1] * 1.25)
    axes.set(title="Mean drift by the parent's family", xlabel="config drift (whiskers: 95 %, diamond: median)")


def _mutations(rates: pd.DataFrame) -> "Figure":
    top = rates.head(20)
    heights = [max(2.0, 0.26 * len(top) + 0.8), 2.3]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, sum(heights)), layout="constrained")
    upper, lower = figure.subplots(2, 1, height_ratios=heights)
    if not len(top):
        nothing(upper, "comparable fields")
        nothing(lower, "comparable fields")
        return figure
    colours = [ORANGE if r > 0.5 else BLUE for r in top["mutation_rate"]]
    told = [f"{r:.1%} of {n:,}" for r, n in zip(top["mutation_rate"], top["total_pairs"], strict=True)]
    bars(upper, [short(f) for f in top["feature"]], top["mutation_rate"], told, colour=colours)
    if upper.get_xlim()[1] > 0.5:
        upper.axvline(0.5, color=RED, linestyle="--", linewidth=1)
    percents(upper)
    upper.set(title=f"Most mutated fields (top {len(top)})", xlabel="mutation rate")
    _by_type(lower, rates)
    return figure


def _by_type(axes: "Axes", rates: pd.DataFrame) -> None:
    groups = rates.groupby("feature_type")
    kinds = [t for t in _TYPES if t in groups.groups]
    mean = groups["mutation_rate"].mean()[kinds]
    overall = (groups["n_changed"].sum() / groups["total_pairs"].sum())[kinds]
    x = np.arange(len(kinds))
    for offset, values, colour, name in (
        (-0.19, mean, BLUE, "mean of fields"),
        (0.19, overall, ORANGE, "all pairs together"),
    ):
        drawn = axes.bar(x + offset, values, 0.36, color=colour, label=name)
        axes.bar_label(drawn, [f"{v:.1%}" for v in values], padding=2, fontsize=8.5)
    axes.set_xticks(x, kinds)
    axes.margins(y=0.2)
    percents(axes, "y")
    axes.set(title="Mutation rate by kind of field", ylabel="mutation rate")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _relations(relation: pd.DataFrame) -> "Figure":
    figure, (axes,) = panels(height=max(2.0, 1.0 + 0.34 * len(relation)))
    told = [f"{m:.3f} (n = {n:,})" for m, n in zip(relation["mean"], relation["n"], strict=True)]
    bars(axes, relation["relation"].tolist(), relation["mean"], told, spans=(relation["low"], relation["high"]))
    axes.set_xlim(0, axes.get_xlim()[1] * 1.1)
    axes.set(title="Mean drift by relation", xlabel="config drift (whiskers: 95 %, drawing whole trees)")
    return figure


def _outcomes(states: pd.DataFrame) -> "Figure":
    names = ("changed", "appeared", "vanished", "unchanged", "unknown")
    colours = (RED, GREEN, ORANGE, BLUE, "#D8D8D8")
    top = states.sort_values("n_changed", ascending=False).head(20)
    figure, (axes,) = panels(height=max(2.6, 1.4 + 0.26 * len(top)))
    left = np.zeros(len(top))
    total = top[[f"n_{n}" for n in names]].sum(axis=1).to_numpy()
    for name, colour in zip(names, colours, strict=True):
        share = top[f"n_{name}"].to_numpy() / np.maximum(total, 1)
        axes.barh(list(range(len(top))), share, left=left, color=colour, label=name, height=0.75)
        left += share
    axes.set_yticks(list(range(len(top))), [short(f) for f in top["feature"]])
    axes.set_ylim(len(top) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    percents(axes)
    axes.set(title="What happens to each field along an edge", xlabel=f"share of {int(total.max()):,} edges")
    figure.legend(loc="outside lower center", ncols=5)
    return figure


def _profiles(parts: pd.DataFrame) -> "Figure":
    named = parts.rename(columns=short)
    named = named[named.columns[named.max() > 0][:15]] if (named.max() > 0).any() else named
    figure, (axes,) = panels(height=2.2 + 0.3 * len(named), width=9.0)
    top = float(max(np.nanmax(named.to_numpy()), 1e-6))
    heat(axes, named, lambda v: f"{v:.3f}".lstrip("0") if v else "0", "mean contribution to drift", (0, top))
    axes.set_title("Which fields make up each family's drift")
    return figure
