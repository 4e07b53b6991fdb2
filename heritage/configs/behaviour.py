"""Study 11: does the configuration tell how a model behaves? Drift against the change in score, and predictions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from heritage.configs.behaviour_figures import clusters_figure, drift_figure, ecosystem_figure, importance_figure
from heritage.configs.drift import comparable, drift_edges
from heritage.configs.edges import Edges
from heritage.configs.fitness import descendants
from heritage.configs.gower import Gower
from heritage.configs.prediction import Prediction, agreement, predict
from heritage.configs.study import Study
from heritage.configs.table import ConfigTable
from heritage.errors import BadInput
from heritage.names import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

# columns of score lists, in any case and with blanks or underscores
_NAMES = ("modelid", "model_id", "model", "model_name", "name", "fullname")
_SCORES = ("score", "elo", "arena_score", "arena_elo", "elo_score", "elo_rating", "rating", "average")
_LEAST = 50  # scored models that a prediction needs
_PAIRS = 10  # edges with scores at both ends that a correlation needs


@dataclass(frozen=True, eq=False)
class Matched:
    """`scores`: one value a model of the table (NaN: none); how names of the score list were matched."""

    scores: pd.Series
    exact: int
    by_name: int
    ambiguous: int
    unmatched: int


def behaviour(table: ConfigTable, scores: pd.DataFrame, edges: Edges, rule: Gower | None = None) -> Study:
    """Change in score against drift along edges, configuration features that predict scores, clusters, downloads.

    `scores` has a column of model names and one of scores. Missing configuration values stay missing: tree models
    take them as they are, the linear one uses complete rows.
    """
    matched = match_scores(table, scores)
    pairs = behavioural_drift(table, matched.scores, edges, rule)
    ecosystem = _ecosystem(table, matched.scores, edges)
    prediction, notes = _predicted(table, matched)
    tables = {"config_behavioral_drift": pairs, "config_feature_importance_elo": prediction.importance,
              "ecosystem_behavioral_fitness": ecosystem, "config_prediction_scores": prediction.quality}  # fmt: skip
    correlation = correlate(pairs)
    groups = agreement(table, matched.scores, rule) if int(matched.scores.notna().sum()) >= _LEAST else None
    figures: dict[str, Callable[[], Figure]] = {
        "config_vs_behavioral_drift": partial(drift_figure, pairs, correlation),
        "config_feature_importance_elo": partial(importance_figure, prediction),
        "ecosystem_vs_behavioral_fitness": partial(ecosystem_figure, ecosystem),
        "config_vs_behavioral_clusters": partial(clusters_figure, groups),
    }
    summary = {"scored_models": int(matched.scores.notna().sum()), "matched_exactly": matched.exact,
               "matched_by_name": matched.by_name, "ambiguous": matched.ambiguous, "unmatched": matched.unmatched,
               "edges_with_scores": len(pairs), **correlation,
               "clusters": None if groups is None else groups.summary}  # fmt: skip
    return Study("behaviour", "Configuration and behaviour", tables, summary, figures, notes)


def _predicted(table: ConfigTable, matched: Matched) -> tuple[Prediction, tuple[str, ...]]:
    notes = [f"{matched.ambiguous} scored names fit several models and were left out"] if matched.ambiguous else []
    scored = int(matched.scores.notna().sum())
    if scored < _LEAST:
        return Prediction.empty(), (*notes, f"no prediction: {scored} scored models, at least {_LEAST} are needed")
    return predict(table, matched.scores), tuple(notes)


def normal_name(name: str) -> str:
    """A name as score lists and hub ids share it: 'meta-llama/Llama-3.1-8B-Instruct' -> 'llama318binstruct'."""
    return re.sub(r"[^a-z0-9]", "", name.rsplit("/", 1)[-1].lower())


def match_scores(table: ConfigTable, scores: pd.DataFrame) -> Matched:
    """Score of each model: by id where the list has one, else by normalised name where it fits one model only.

    Several scores of one model are averaged. Raises `BadInput` where columns of names or scores are missing.
    """
    name, score = _column(scores, _NAMES, "names"), _column(scores, _SCORES, "scores")
    listed = pd.DataFrame({"name": scores[name].astype(str), "score": pd.to_numeric(scores[score], errors="coerce")})
    mean = listed.dropna().groupby("name")["score"].mean()
    position = dict(table.positions)
    by_name: dict[str, list[int]] = {}
    for model, row in position.items():
        by_name.setdefault(normal_name(model), []).append(row)
    found: dict[int, list[float]] = {}
    counts = dict.fromkeys(("exact", "by_name", "ambiguous", "unmatched"), 0)
    for text, value in zip(mean.index.astype(str), mean, strict=True):
        rows = [position[text]] if text in position else by_name.get(normal_name(text), [])
        how = "exact" if text in position else ("unmatched", "by_name")[len(rows)] if len(rows) < 2 else "ambiguous"
        counts[how] += 1
        if len(rows) == 1:
            found.setdefault(rows[0], []).append(float(value))
    values = np.full(len(table), np.nan)
    for row, several in found.items():
        values[row] = np.mean(several)
    return Matched(pd.Series(values), **counts)


def _column(frame: pd.DataFrame, names: Sequence[str], what: str) -> str:
    known = {re.sub(r"\W+", "_", str(c).strip().lower()): str(c) for c in reversed(frame.columns)}
    found = next((known[n] for n in names if n in known), None)
    if found is None:
        shown = [printable(str(c)) for c in frame.columns][:20]
        raise BadInput(f"score list has no column of {what}; columns are {shown}, expected one of {list(names)}")
    return found


def behavioural_drift(table: ConfigTable, scores: pd.Series, edges: Edges, rule: Gower | None = None) -> pd.DataFrame:
    """parent_id, child_id, relation, drift, parent_score, child_score, delta_elo (child - parent), quadrant.

    Quadrants split at the medians of drift and of the absolute change.
    """
    drift = comparable(drift_edges(table, edges, rule))
    place = table.positions
    for side in ("parent", "child"):
        rows = np.array([place[m] for m in drift[f"{side}_id"]], dtype=np.int64)
        drift[f"{side}_score"] = scores.to_numpy()[rows]
    pairs = drift.dropna(subset=["parent_score", "child_score"]).reset_index(drop=True)
    pairs["delta_elo"] = pairs["child_score"] - pairs["parent_score"]
    far, much = pairs["drift"] > pairs["drift"].median(), pairs["delta_elo"].abs() > pairs["delta_elo"].abs().median()
    labels = np.array(
        ["close, small change", "far, small change", "close, large change", "far, large change"], dtype=object
    )
    pairs["quadrant"] = labels[far.to_numpy(dtype=np.int64) + 2 * much.to_numpy(dtype=np.int64)]
    columns = ["parent_id", "child_id", "relation", "drift", "parent_score", "child_score", "delta_elo", "quadrant"]
    return pairs[columns]


def correlate(pairs: pd.DataFrame) -> dict[str, Any]:
    """mean change, share that improves, Pearson of drift with change, Spearman of drift with absolute change."""
    from scipy.stats import pearsonr, spearmanr

    delta, drift = pairs["delta_elo"].to_numpy(dtype=np.float64), pairs["drift"].to_numpy(dtype=np.float64)
    head: dict[str, Any] = {"mean_delta": delta.mean() if len(delta) else None,
                            "improved_share": (delta > 0).mean() if len(delta) else None}  # fmt: skip
    if len(pairs) < _PAIRS or not np.ptp(drift) or not np.ptp(delta):
        return head | {"pearson": None, "pearson_p": None, "spearman_abs": None, "spearman_abs_p": None}
    p, s = pearsonr(drift, delta), spearmanr(drift, np.abs(delta))
    return head | {"pearson": p[0], "pearson_p": p[1], "spearman_abs": s[0], "spearman_abs_p": s[1]}


def _ecosystem(table: ConfigTable, scores: pd.Series, edges: Edges) -> pd.DataFrame:
    counts = descendants(table, edges)
    frame = counts.assign(score=scores, downloads=table.column("downloads"), likes=table.column("likes"))
    return frame.dropna(subset=["score"]).reset_index(drop=True)
