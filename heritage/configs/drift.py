"""Config drift: how far a child's configuration is from its parent's, by relation and by family."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.configs.edges import Edges
from heritage.configs.gower import Encoded, Gower, encode, pairs
from heritage.configs.intervals import adjusted, cliff, tree_bootstrap, trees
from heritage.configs.table import ConfigTable

# the published columns, in their order; what is new stands in a table of its own
PAIR_COLUMNS = ["parent_id", "child_id", "drift", "similarity", "parent_family", "child_family", "same_family"]
_LEAST = 5  # edges that a group needs before it is tested


def drift_edges(
    table: ConfigTable, edges: Edges, rule: Gower | None = None, features: Sequence[str] | None = None
) -> pd.DataFrame:
    """Drift of every edge with both ends in `table`: PAIR_COLUMNS, then relation, comparable (number of shared fields).

    `drift` is NaN where the two share too few fields and the rule says so; families of unknown models are 'Unknown'
    and `same_family` is then false.
    """
    inside, _ = edges.known(table)
    i, j = positions(table, inside)
    drift, shared = pairs(encode(table, rule, features), i, j) if len(inside) else (np.empty(0), np.empty(0, np.int64))
    family = table.frame["family"].fillna("Unknown").to_numpy(dtype=object)
    found = inside[["parent_id", "child_id"]].assign(
        drift=drift, similarity=1 - drift, parent_family=family[i], child_family=family[j]
    )
    found["same_family"] = (found["parent_family"] == found["child_family"]) & (found["parent_family"] != "Unknown")
    return found.assign(relation=inside["relation"].to_numpy(), comparable=shared)


def positions(table: ConfigTable, edges: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of parents and of children of `edges`, all of which must be in `table`."""
    place = table.positions
    return (
        np.array([place[p] for p in edges["parent_id"].tolist()], dtype=np.int64),
        np.array([place[c] for c in edges["child_id"].tolist()], dtype=np.int64),
    )


def drift_by(drift: pd.DataFrame, group: str, rng: np.random.Generator) -> pd.DataFrame:
    """Drift of each value of column `group` (relation, parent_family) against all other edges.

    Columns: group, n, n_trees, mean, low, high (95 %, drawing whole trees), median, cliff (above 0: drifts more than
    the rest), p_value (Mann-Whitney), q_value (Benjamini-Hochberg). Edges that share no field are left out. Edges of
    one tree resemble each other, so p values are optimistic; the interval is not. Sorted by n.
    """
    usable = comparable(drift)
    tree = trees(usable)
    rows = [_against_rest(usable, tree, group, value, rng) for value in usable[group].value_counts().index]
    columns = [group, "n", "n_trees", "mean", "low", "high", "median", "cliff", "p_value"]
    found = pd.DataFrame(rows, columns=columns)
    return found.assign(q_value=adjusted(found["p_value"]))


def comparable(drift: pd.DataFrame) -> pd.DataFrame:
    """The edges whose ends share at least one field: a distance of 1.0 for want of fields is no drift."""
    return drift[(drift["comparable"] > 0) & drift["drift"].notna()].reset_index(drop=True)


def _against_rest(
    drift: pd.DataFrame, tree: NDArray[np.int64], group: str, value: object, rng: np.random.Generator
) -> tuple[object, ...]:
    from scipy.stats import mannwhitneyu

    inside = (drift[group] == value).to_numpy()
    d = drift["drift"].to_numpy()
    span = tree_bootstrap(d[inside], tree[inside], rng)
    tested = min(inside.sum(), (~inside).sum()) >= _LEAST
    p = float(mannwhitneyu(d[inside], d[~inside]).pvalue) if tested else float("nan")
    n_trees = len(np.unique(tree[inside]))
    return (value, int(inside.sum()), n_trees, span.value, span.low, span.high, float(np.median(d[inside])),
            cliff(d[inside], d[~inside]), p)  # fmt: skip


def summary(drift: pd.DataFrame, left_out: int, rng: np.random.Generator) -> dict[str, object]:
    """The numbers that head a drift report, JSON values only."""
    usable = comparable(drift)
    span = tree_bootstrap(usable["drift"].to_numpy(), trees(usable), rng)
    return {
        "edges": len(drift), "edges_without_config": left_out, "edges_sharing_no_field": len(drift) - len(usable),
        "mean_drift": _json(span.value), "mean_drift_low": _json(span.low), "mean_drift_high": _json(span.high),
        "median_drift": _json(usable["drift"].median()), "unchanged_share": _json((usable["drift"] == 0).mean()),
    }  # fmt: skip


def _json(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def profile(table: ConfigTable, drift: pd.DataFrame, encoded: Encoded) -> pd.DataFrame:
    """Mean contribution of each field to the drift of each parent family: rows families, columns fields.

    The parts of a row add up to the family's mean drift over its comparable edges.
    """
    from heritage.configs.gower import contributions

    usable = comparable(drift)
    i, j = positions(table, usable)
    delta, present = contributions(encoded, i, j)
    weight = present * encoded.weights[:, None]
    parts = pd.DataFrame((delta * weight / weight.sum(axis=0)).T, columns=[f.name for f in encoded.fields])
    return parts.groupby(usable["parent_family"].to_numpy()).mean()
