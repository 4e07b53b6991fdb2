"""Drift along model trees: from the root to each descendant, summed along the path, by depth."""

from collections.abc import Iterable, Iterator, Sequence

import networkx as nx
import numpy as np
import pandas as pd

from heritage.configs.edges import Edges
from heritage.configs.gower import Encoded, pairs
from heritage.configs.intervals import Span, tree_bootstrap
from heritage.configs.table import ConfigTable

PATH_COLUMNS = ["root_id", "node_id", "depth", "cumulative_drift", "path_length"]


def roots(graph: "nx.DiGraph[str]") -> list[str]:
    """Models without a parent, the one with most descendants first (ties by name)."""
    heads = [n for n in graph if graph.in_degree(n) == 0]
    size = {n: len(nx.descendants(graph, n)) for n in heads}
    return sorted(heads, key=lambda n: (-size[n], n))


def drift_by_depth(
    table: ConfigTable, edges: Edges, encoded: Encoded, chosen: Iterable[str] | None = None
) -> pd.DataFrame:
    """One row for each descendant with a configuration of each root (`chosen`, else all) that has one.

    PATH_COLUMNS, then root_drift and steps_known. `depth` = `path_length` = edges from the root on a shortest path.
    `cumulative_drift` is the sum of the drifts of those edges, NaN where a model on the way has no configuration;
    `root_drift` is the distance between root and model. Cycles are walked once.
    """
    walks = list(_walks(table, edges.graph(), chosen))
    step = _steps(table, encoded, [p for _, _, p in walks])
    place = table.positions
    i = np.array([place[r] for r, _, _ in walks], dtype=np.int64)
    j = np.array([place[n] for _, n, _ in walks], dtype=np.int64)
    from_root = pairs(encoded, i, j)[0] if walks else np.empty(0)
    rows = [
        (r, n, len(p) - 1, sum(step.get(e, np.nan) for e in nx.utils.pairwise(p)), len(p) - 1, d,
         sum(e in step for e in nx.utils.pairwise(p)))
        for (r, n, p), d in zip(walks, from_root, strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=[*PATH_COLUMNS, "root_drift", "steps_known"])


def _walks(
    table: ConfigTable, graph: "nx.DiGraph[str]", chosen: Iterable[str] | None
) -> Iterator[tuple[str, str, list[str]]]:
    """(root, descendant, shortest path), both ends with a configuration."""
    for root in chosen if chosen is not None else roots(graph):
        if root in table.positions and root in graph:
            for node, path in nx.single_source_shortest_path(graph, root).items():
                if node != root and node in table.positions:
                    yield root, node, path


def _steps(table: ConfigTable, encoded: Encoded, paths: Sequence[Sequence[str]]) -> dict[tuple[str, str], float]:
    place = table.positions
    steps = sorted({e for p in paths for e in nx.utils.pairwise(p) if e[0] in place and e[1] in place})
    if not steps:
        return {}
    i, j = (np.array([place[e[side]] for e in steps], dtype=np.int64) for side in (0, 1))
    return dict(zip(steps, pairs(encoded, i, j)[0].tolist(), strict=True))


def by_depth(paths: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Mean drift at each depth with counts: depth, n, n_trees, root_drift, path_drift, each with low and high (95 %).

    Distance to the root need not grow with depth, the sum along the path does; both are shown.
    """
    rows = []
    for depth, part in paths.groupby("depth", sort=True):
        tree = pd.factorize(part["root_id"])[0]
        direct = tree_bootstrap(part["root_drift"].to_numpy(dtype=np.float64), tree, rng)
        summed = tree_bootstrap(part["cumulative_drift"].to_numpy(dtype=np.float64), tree, rng)
        rows.append((depth, len(part), part["root_id"].nunique(), *_flat(direct), *_flat(summed)))
    names = ["root_drift", "root_low", "root_high", "path_drift", "path_low", "path_high"]
    return pd.DataFrame(rows, columns=["depth", "n", "n_trees", *names])


def _flat(span: Span) -> tuple[float, float, float]:
    return span.value, span.low, span.high
