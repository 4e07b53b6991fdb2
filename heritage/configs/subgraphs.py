"""Study 10: how alike the members of a model tree are, and how drift grows with depth."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import pandas as pd

from heritage.configs.edges import Edges
from heritage.configs.figures import BLUE, ORANGE, bars, nothing, panels
from heritage.configs.gower import Encoded, Gower, encode, matrix, pairs
from heritage.configs.paths import PATH_COLUMNS, by_depth, drift_by_depth, roots
from heritage.configs.study import Study
from heritage.configs.table import ConfigTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TREES = 10
_LEAST = 5  # descendants with a configuration that a tree needs
_MEMBERS = 1000  # of a tree that are compared pair by pair; larger trees are sampled


def subgraphs(table: ConfigTable, edges: Edges, rule: Gower | None = None, seed: int = 42) -> Study:
    """Similarity inside the largest model trees against that of random models; drift by depth, both ways."""
    rng = np.random.default_rng(seed)
    heads = roots(edges.graph())
    if not heads or len(table) < 2:
        return Study("subgraphs", "Coherence of model trees", {}, {"trees": 0}, {}, ("no edge to build trees from",))
    encoded = encode(table, rule)
    coherence = subgraph_coherence(table, edges, encoded, heads, rng)
    paths = drift_by_depth(table, edges, encoded, heads)
    depths = by_depth(paths, rng)
    i, j = rng.integers(0, len(table), (2, 2000))
    random, shared = pairs(encoded, i, j)
    baseline = float(1 - random[(i != j) & (shared > 0)].mean()) if ((i != j) & (shared > 0)).any() else float("nan")
    tables = {"subgraph_similarity_stats": coherence, "config_drift_by_depth": paths[PATH_COLUMNS],
              "config_drift_by_depth_summary": depths,
              "config_root_drift": paths[["root_id", "node_id", "depth", "root_drift", "steps_known"]]}  # fmt: skip
    figures = {
        "subgraph_coherence": partial(_coherence, coherence, baseline),
        "drift_by_depth": partial(_depths, depths),
    }
    deep = float((paths["depth"] > 1).mean()) if len(paths) else float("nan")
    summary = {"trees": len(heads), "compared_trees": len(coherence),
               "mean_similarity": coherence["mean_similarity"].mean(),
               "random_similarity": baseline, "models_on_paths": len(paths), "share_deeper_than_one": deep,
               "paths_with_gaps": int(paths["cumulative_drift"].isna().sum())}  # fmt: skip
    return Study("subgraphs", "Coherence of model trees", tables, summary, figures, _notes(coherence, paths))


def _notes(coherence: pd.DataFrame, paths: pd.DataFrame) -> tuple[str, ...]:
    notes = () if len(coherence) else (f"no tree has {_LEAST} or more descendants with a configuration",)
    gaps = int(paths["cumulative_drift"].isna().sum())
    return (*notes, *((f"{gaps:,} paths lead over models without a configuration: no sum is given",) if gaps else ()))


def subgraph_coherence(
    table: ConfigTable, edges: Edges, encoded: Encoded, heads: Sequence[str], rng: np.random.Generator
) -> pd.DataFrame:
    """root_id, n_nodes, n_descendants, mean_similarity, median_similarity, family of the ten largest trees.

    Trees are taken by size, not in the order of the file. `n_nodes` counts members with a configuration.
    """
    graph = edges.graph()
    place = table.positions
    rows = []
    for root in heads:
        below = nx.descendants(graph, root)
        known = np.array(sorted(place[m] for m in {root, *below} if m in place), dtype=np.int64)
        if len(known) <= _LEAST:
            continue
        sampled = known if len(known) <= _MEMBERS else np.sort(rng.choice(known, _MEMBERS, replace=False))
        similar = 1 - matrix(encoded.take(sampled))[np.triu_indices(len(sampled), 1)]
        family = table.frame["family"].iloc[place[root]] if root in place else None
        rows.append((root, len(known), len(below), float(np.nanmean(similar)), float(np.nanmedian(similar)), family))
        if len(rows) == _TREES:
            break
    columns = ["root_id", "n_nodes", "n_descendants", "mean_similarity", "median_similarity", "family"]
    return pd.DataFrame(rows, columns=columns)


def _coherence(coherence: pd.DataFrame, baseline: float) -> "Figure":
    figure, (axes,) = panels(height=max(2.2, 1.2 + 0.32 * len(coherence)))
    if not len(coherence):
        nothing(axes, "trees with enough members")
        return figure
    told = [f"{m:.2f} (n = {n:,})" for m, n in zip(coherence["mean_similarity"], coherence["n_nodes"], strict=True)]
    bars(axes, coherence["root_id"].tolist(), coherence["mean_similarity"], told)
    axes.axvline(baseline, color="black", linestyle="--", linewidth=1.2)
    axes.set(title="Similarity within the largest model trees", xlim=(0, 1.25),
             xlabel=f"mean similarity of members (dashed: random pairs of models, {baseline:.2f})")  # fmt: skip
    return figure


def _depths(depths: pd.DataFrame) -> "Figure":
    figure, (axes,) = panels(height=3.6)
    if not len(depths):
        nothing(axes, "paths")
        return figure
    x = depths["depth"].to_numpy(dtype=np.float64)
    for shift, key, colour, name in (
        (-0.06, "root", BLUE, "distance from the root"),
        (0.06, "path", ORANGE, "sum along the path"),
    ):
        value = depths[f"{key}_drift"].to_numpy(dtype=np.float64)
        spread = [
            np.nan_to_num(np.abs(value - depths[f"{key}_{side}"].to_numpy(dtype=np.float64)))
            for side in ("low", "high")
        ]
        axes.errorbar(x + shift, value, yerr=spread, color=colour, marker="o", capsize=3, label=name)
    axes.set_xticks(x, [f"{int(d)}\nn = {n:,}" for d, n in zip(depths["depth"], depths["n"], strict=True)])
    axes.set(title="Drift by depth", xlabel="depth (edges from the root)", ylabel="config drift", ylim=(0, None))
    axes.legend(loc="upper left")
    return figure
