"""Study 08: which models are configured alike: neighbours, the similarity graph, an embedding, other metrics."""

from functools import partial
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.configs.derive import FAMILIES
from heritage.configs.fields import Kind
from heritage.configs.figures import COLOURS, GREY, legend_below, nothing, panels
from heritage.configs.gower import Encoded, Gower, encode, matrix, nearest, pairs
from heritage.configs.study import Study
from heritage.configs.table import ConfigTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SAMPLE = 1000
_NEIGHBOURS = 5
_METRICS = ("L1", "L2", "cosine")


def similarity(table: ConfigTable, rule: Gower | None = None, seed: int = 42) -> Study:
    """Five nearest models of each; on a sample of 1,000: similarity graph, embedding, comparison with other metrics."""
    if len(table) < 3:
        return Study("similarity", "Config similarity", {}, {"models": len(table)}, {},
                     (f"the study is left out: {len(table)} models have no neighbours to speak of",))  # fmt: skip
    rng = np.random.default_rng(seed)
    encoded = encode(table, rule)
    rows = np.sort(rng.choice(len(table), min(_SAMPLE, len(table)), replace=False))
    sample = table.take(rows)
    distances = np.nan_to_num(matrix(encoded.take(rows)), nan=1.0).astype(np.float64)
    graph = similarity_graph(encoded.take(rows), distances)
    compared = compare_metrics(sample, encoded.take(rows), rng)
    place = embed(distances)
    overview = _overview(graph, distances)
    embedded = pd.DataFrame({"modelId": sample.frame["modelId"], "x": place[:, 0], "y": place[:, 1]})
    tables = {"config_similarity_summary": overview, "config_neighbors": neighbours(table, encoded),
              "similarity_metrics": compared, "config_similarity_embedding": embedded}  # fmt: skip
    figures = {
        "similarity_graph": partial(_graph, graph, sample, place),
        "similarity_metrics_comparison": partial(_metrics, compared),
        "config_similarity_embedding": partial(_embedding, place, sample),
    }
    notes = (f"graph, embedding and metrics from {len(rows):,} of {len(table):,} models (seed {seed})",)
    summary = dict(zip(overview["metric"], overview["value"], strict=True))
    return Study("similarity", "Config similarity", tables, summary, figures, notes)


def neighbours(table: ConfigTable, encoded: Encoded, k: int = _NEIGHBOURS) -> pd.DataFrame:
    """modelId, rank, neighbor_id, distance, similarity: the `k` nearest of every model, twins included."""
    k = min(k, len(table) - 1)
    index, distance = nearest(encoded, k)
    ids = table.frame["modelId"].to_numpy(dtype=object)
    frame = pd.DataFrame({
        "modelId": np.repeat(ids, k), "rank": np.tile(np.arange(1, k + 1), len(table)),
        "neighbor_id": ids[index.ravel()], "distance": distance.ravel(), "similarity": 1 - distance.ravel(),
    })  # fmt: skip
    return frame[index.ravel() >= 0].reset_index(drop=True)


def similarity_graph(
    encoded: Encoded, distances: NDArray[np.float64], k: int = _NEIGHBOURS, threshold: float | None = None
) -> "nx.Graph[int]":
    """Models joined to their `k` nearest at most `threshold` away (None: the median distance of all pairs)."""
    n = len(encoded)
    limit = float(np.median(distances[np.triu_indices(n, 1)])) if threshold is None else threshold
    index, distance = nearest(encoded, min(k, n - 1))
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(n))
    close = (index >= 0) & (distance <= limit)
    graph.add_edges_from(zip(np.nonzero(close)[0].tolist(), index[close].tolist(), strict=True))
    return graph


def _overview(graph: "nx.Graph[int]", distances: NDArray[np.float64]) -> pd.DataFrame:
    parts = [len(c) for c in nx.connected_components(graph)]
    upper = distances[np.triu_indices(len(distances), 1)]
    stats = {
        "sampled_models": len(distances), "mean_distance": upper.mean(), "median_distance": np.median(upper),
        "identical_pairs": int((upper == 0).sum()), "graph_edges": graph.number_of_edges(),
        "graph_density": nx.density(graph), "components": len(parts), "largest_component": max(parts),
        "mean_clustering": nx.average_clustering(graph),
    }  # fmt: skip
    return pd.DataFrame({"metric": list(stats), "value": [float(v) for v in stats.values()]})


def compare_metrics(table: ConfigTable, encoded: Encoded, rng: np.random.Generator, n: int = 2000) -> pd.DataFrame:
    """metric, spearman with Gower, n_pairs: L1, L2 and cosine over standardised numbers of random pairs.

    Columns are standardised one by one over the models, and only pairs of models that have all of them are compared.
    """
    from scipy.stats import spearmanr

    z = _standardised(table, [f.name for f in encoded.fields if f.kind is Kind.NUMERIC])
    complete = np.flatnonzero(np.isfinite(z).all(axis=1)) if z.shape[1] else np.empty(0, dtype=np.int64)
    if len(complete) < 3:
        return pd.DataFrame({"metric": _METRICS, "spearman": np.nan, "n_pairs": 0})
    i, j = rng.choice(complete, (2, n))
    i, j = i[i != j], j[i != j]
    gower, _ = pairs(encoded, i, j)
    lengths = np.linalg.norm(z[i], axis=1) * np.linalg.norm(z[j], axis=1)
    cosine = 1 - np.divide((z[i] * z[j]).sum(axis=1), lengths, out=np.ones(len(i)), where=lengths > 0)
    others = (np.abs(z[i] - z[j]).sum(axis=1), np.linalg.norm(z[i] - z[j], axis=1), cosine)
    found = [float(spearmanr(gower, o)[0]) if np.ptp(gower) > 0 and np.ptp(o) > 0 else np.nan for o in others]
    return pd.DataFrame({"metric": _METRICS, "spearman": found, "n_pairs": len(i)})


def _standardised(table: ConfigTable, names: list[str]) -> NDArray[np.float64]:
    """Logarithms of those of the columns `names` that three in ten models tell, each with mean 0 and deviation 1."""
    columns = [
        np.log1p(table.frame[c].to_numpy(dtype=np.float64)) for c in names if table.frame[c].notna().mean() > 0.3
    ]
    scaled = [(c - np.nanmean(c)) / (np.nanstd(c) or 1.0) for c in columns]
    return np.stack(scaled, axis=1) if scaled else np.empty((len(table), 0))


def embed(distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two coordinates a model that keep distances as well as two can (principal coordinates, Torgerson 1952)."""
    from scipy.sparse.linalg import eigsh

    n = len(distances)
    squared = distances**2
    centred = -0.5 * (squared - squared.mean(axis=0) - squared.mean(axis=1)[:, None] + squared.mean())
    if not np.ptp(distances):  # all alike, or one model: nothing that a coordinate could keep
        return np.zeros((n, 2))
    if n < 5:
        values, vectors = np.linalg.eigh(centred)
    else:
        # centring takes a constant start to zero
        values, vectors = eigsh(centred, k=2, which="LA", v0=np.random.default_rng(0).standard_normal(n))
    order = np.argsort(values)[::-1][:2]
    place = vectors[:, order] * np.sqrt(np.maximum(values[order], 0))
    # the sign of an eigenvector is free; fixed here so that a picture does not flip between runs
    return np.asarray(place * np.where(place[np.abs(place).argmax(axis=0), [0, 1]] < 0, -1, 1))


def _by_family(axes: "Axes", place: NDArray[np.float64], sample: ConfigTable, size: float) -> None:
    family = sample.column("family").fillna("unknown").to_numpy(dtype=object)
    for name in ("unknown", "Other", *FAMILIES):
        rows = family == name
        if rows.any():
            colour = COLOURS[FAMILIES.index(name)] if name in FAMILIES else GREY if name == "Other" else "#C8C8C8"
            axes.scatter(place[rows, 0], place[rows, 1], s=size, color=colour, alpha=0.75, linewidths=0,
                         label=f"{name} ({rows.sum():,})", zorder=2)  # fmt: skip


def _graph(graph: "nx.Graph[int]", sample: ConfigTable, start: NDArray[np.float64]) -> "Figure":
    from matplotlib.collections import LineCollection

    figure, (axes,) = panels(height=6.4)
    # pieces of one or two models would fly to the rim and shrink all else
    drawn = sorted(i for part in nx.connected_components(graph) if len(part) > 2 for i in part)
    if not drawn:
        nothing(axes, "groups of three or more alike models")
        return figure
    inner = graph.subgraph(drawn)
    # models that are configured alike start at one place and need a nudge to come apart
    nudge = np.random.default_rng(0).normal(0, 0.02, start.shape)
    laid = nx.spring_layout(inner, pos={i: start[i] + nudge[i] for i in drawn}, iterations=30, method="force",
                            k=2.2 / np.sqrt(len(drawn)), seed=0)  # fmt: skip
    place = np.array([laid[i] for i in drawn])
    lines = [(laid[a], laid[b]) for a, b in inner.edges]
    axes.add_collection(LineCollection(lines, colors="#BDBDBD", linewidths=0.35, zorder=1))
    _by_family(axes, place, sample.take(np.array(drawn, dtype=np.int64)), 14)
    axes.set_title(f"Five nearest configurations ({len(drawn):,} models, {inner.number_of_edges():,} edges)")
    axes.set_axis_off()
    legend_below(figure, axes, 5)
    return figure


def _metrics(compared: pd.DataFrame) -> "Figure":
    from heritage.configs.figures import bars

    figure, (axes,) = panels(height=2.2)
    if compared["spearman"].isna().all():
        nothing(axes, "pairs with all numbers")
        return figure
    bars(axes, compared["metric"].tolist(), compared["spearman"])
    axes.set(title="Agreement of other metrics with Gower distance",
             xlabel=f"Spearman correlation over {int(compared['n_pairs'].max()):,} pairs with all numbers")  # fmt: skip
    return figure


def _embedding(place: NDArray[np.float64], sample: ConfigTable) -> "Figure":
    figure, (axes,) = panels(height=5.2)
    _by_family(axes, place, sample, 18)
    axes.set(
        title="Configurations in two dimensions",
        xlabel="first principal coordinate",
        ylabel="second principal coordinate",
    )
    legend_below(figure, axes, 5)
    return figure
