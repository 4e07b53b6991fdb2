"""The mutational landscape: how often each field changes along lineage edges, and what 'missing' hides.

Per field and edge there are five outcomes: changed, unchanged, appeared (the child alone has a value), vanished (the
parent alone has one), unknown (neither). Only the first two make the mutation rate; the published table calls the
other three missing. Vanished mixes deletion with absence: an adapter's repository has no config.json at all.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.configs.drift import positions
from heritage.configs.edges import Edges
from heritage.configs.fields import Field, Kind
from heritage.configs.intervals import adjusted, wilson
from heritage.configs.table import ConfigTable

# the published columns, in their order
RATE_COLUMNS = ["feature", "mutation_rate", "n_changed", "n_unchanged", "n_missing", "total_pairs", "feature_type"]
OUTCOMES = ["changed", "unchanged", "appeared", "vanished", "unknown"]
_SAME = 1e-6  # numbers closer than this are equal
_TYPES = {Kind.NUMERIC: "Numeric", Kind.BOOLEAN: "Boolean"}


def outcomes(
    table: ConfigTable, edges: Edges, features: Sequence[str] | None = None
) -> tuple[tuple[Field, ...], pd.DataFrame, NDArray[np.int8]]:
    """Fields, the edges with both ends in `table`, and the outcome (fields, edges) as an index into OUTCOMES."""
    inside, _ = edges.known(table)
    fields = table.features(features)
    i, j = positions(table, inside)
    found = np.empty((len(fields), len(inside)), dtype=np.int8)
    for f, each in enumerate(fields):
        column = table.frame[each.name]
        before, after = column.to_numpy()[i], column.to_numpy()[j]
        has_before, has_after = column.notna().to_numpy()[i], column.notna().to_numpy()[j]
        numeric = each.kind in (Kind.NUMERIC, Kind.BOOLEAN)
        changed = np.abs(np.subtract(before, after, dtype=np.float64)) > _SAME if numeric else before != after
        found[f] = np.select([has_before & has_after, has_after, has_before], [np.where(changed, 0, 1), 2, 3], 4)
    return fields, inside, found


def mutation_rates(table: ConfigTable, edges: Edges, features: Sequence[str] | None = None) -> pd.DataFrame:
    """The published table (RATE_COLUMNS), most mutated field first; fields no edge can be judged by are left out."""
    counts = mutation_states(table, edges, features)
    counts = counts[counts["n_changed"] + counts["n_unchanged"] > 0]
    counts = counts.assign(
        n_missing=counts["n_appeared"] + counts["n_vanished"] + counts["n_unknown"],
        total_pairs=counts["n_changed"] + counts["n_unchanged"],
    )
    return counts[RATE_COLUMNS].sort_values("mutation_rate", ascending=False, kind="stable", ignore_index=True)


def mutation_states(table: ConfigTable, edges: Edges, features: Sequence[str] | None = None) -> pd.DataFrame:
    """Every outcome of every field: feature, feature_type, n_<outcome>, mutation_rate with its Wilson limits."""
    fields, _, found = outcomes(table, edges, features)
    return _counted(fields, found)


def _counted(fields: tuple[Field, ...], found: NDArray[np.int8]) -> pd.DataFrame:
    frame = pd.DataFrame({"feature": [f.name for f in fields],
                          "feature_type": [_TYPES.get(f.kind, "Categorical") for f in fields]})  # fmt: skip
    for o, name in enumerate(OUTCOMES):
        frame[f"n_{name}"] = (found == o).sum(axis=1)
    total = frame["n_changed"] + frame["n_unchanged"]
    frame["mutation_rate"] = np.where(total > 0, frame["n_changed"] / total.clip(lower=1), np.nan)
    frame["low"], frame["high"] = wilson(frame["n_changed"], total)
    return frame


def hot_spots(
    table: ConfigTable, edges: Edges, by: str, features: Sequence[str] | None = None, least: int = 10
) -> pd.DataFrame:
    """Mutation rate of each field for each `by` ('relation' or 'family' of the parent) against all other edges.

    Columns: by, feature, n, n_changed, mutation_rate, low, high, rest_rate, p_value (Fisher's exact test), q_value
    (Benjamini-Hochberg over the whole table). Groups with fewer than `least` judged edges are not tested.
    """
    fields, inside, found = outcomes(table, edges, features)
    group = _groups(table, inside, by)
    rows = [
        _one_group(value, each.name, found[f], group == value, least)
        for value in sorted({g for g in group if g is not None})
        for f, each in enumerate(fields)
    ]
    columns = [by, "feature", "n", "n_changed", "mutation_rate", "rest_rate", "p_value"]
    frame = pd.DataFrame([r for r in rows if r[2]], columns=columns)
    frame["low"], frame["high"] = wilson(frame["n_changed"], frame["n"])
    return frame.assign(q_value=adjusted(frame["p_value"])).sort_values(["q_value", by], ignore_index=True)


def _groups(table: ConfigTable, edges: pd.DataFrame, by: str) -> NDArray[np.object_]:
    if by != "family":
        return edges[by].to_numpy(dtype=object)
    family = table.frame["family"].astype(object).where(table.frame["family"].notna(), None)
    return family.to_numpy()[positions(table, edges)[0]]


def _one_group(
    value: str, feature: str, found: NDArray[np.int8], inside: NDArray[np.bool_], least: int
) -> tuple[object, ...]:
    from scipy.stats import fisher_exact

    counts = [[int((found[m] == o).sum()) for o in (0, 1)] for m in (inside, ~inside)]
    n, rest = sum(counts[0]), sum(counts[1])
    p = float(fisher_exact(counts)[1]) if min(n, rest) >= least else float("nan")
    rate, rest_rate = (c[0] / s if s else float("nan") for c, s in zip(counts, (n, rest), strict=True))
    return value, feature, n, counts[0][0], rate, rest_rate, p
