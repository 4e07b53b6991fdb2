"""The study of lineage contradictions: what the audit shows first."""

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from heritage.configs.contradictions import contradictions, explain, overview
from heritage.configs.edges import Edges
from heritage.configs.figures import RED, bars, nothing, panels, percents
from heritage.configs.study import Study
from heritage.configs.table import ConfigTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def lineage(table: ConfigTable, edges: Edges) -> Study:
    """Declared edges that the configurations contradict, ranked and explained."""
    found = contradictions(table, edges)
    checks = overview(table, edges, found)
    inside, outside = edges.known(table)
    worst = [set(part["severity"]) for _, part in found.groupby(["parent_id", "child_id"], sort=False)]
    contradicted = sum("contradiction" in s for s in worst)
    summary = {"edges": len(inside), "edges_without_config": outside, "edges_contradicted": contradicted,
               "edges_suspicious": sum("suspicious" in s and "contradiction" not in s for s in worst),
               "worst": explain(found, 10)}  # fmt: skip
    notes = () if len(inside) else ("no edge has a configuration at both ends",)
    tables = {"lineage_contradictions": found, "lineage_checks": checks}
    figures = {"lineage_contradictions": partial(_figure, checks)}
    return Study("lineage", "Lineage contradictions", tables, summary, figures, notes)


def _figure(checks: pd.DataFrame) -> "Figure":
    judged = checks[checks["n_judged"] > 0].sort_values("share", ascending=False)
    figure, (axes,) = panels(height=max(2.2, 1.0 + 0.28 * len(judged)))
    if not len(judged):
        nothing(axes, "edges with a configuration at both ends")
        return figure
    told = [
        f"{k:,} of {n:,} ({s:.1%})"
        for k, n, s in zip(judged["n_found"], judged["n_judged"], judged["share"], strict=True)
    ]
    bars(axes, judged["check"].tolist(), judged["share"], told, colour=RED, spans=(judged["low"], judged["high"]))
    percents(axes)
    axes.set_xlim(0, axes.get_xlim()[1] * 1.15)
    axes.set(title="Declared edges that the configuration speaks against", xlabel="share of edges where both ends tell")
    return figure
