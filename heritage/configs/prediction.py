"""How well configurations predict a score, and whether models configured alike score alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.configs.fields import Kind
from heritage.configs.gower import Gower, encode, matrix
from heritage.configs.table import ConfigTable

_SPLIT_SEED = 42
_MOST = 800  # models clustered; more are sampled
_GROUPS = 10
_SIZE = "config_approx_params_billions"


@dataclass(frozen=True, eq=False)
class Prediction:
    """`importance`: feature, importance, std (permutation, test rows); `quality`: model, n, r2, rmse, cv_r2."""

    importance: pd.DataFrame
    quality: pd.DataFrame

    @classmethod
    def empty(cls) -> "Prediction":
        """No prediction; tables with their columns and no rows."""
        return cls(_frame(["feature", "importance", "std"]), _frame(["model", "n", "r2", "rmse", "cv_r2"]))


def _frame(columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame({c: pd.Series(dtype=object if c in ("feature", "model") else float) for c in columns})


def predict(table: ConfigTable, scores: pd.Series) -> Prediction:
    """Forest, boosting and a linear model from configuration to score: 80/20 split (seed 42) and five-fold R2.

    Missing numbers stay missing for the trees; the linear model uses the columns and rows that are complete.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.linear_model import LinearRegression
    from sklearn.model_selection import train_test_split
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    known = scores.notna().to_numpy()
    x, y = _design(table.take(known)), scores[known].to_numpy(dtype=np.float64)
    train, test = train_test_split(np.arange(len(y)), test_size=0.2, random_state=_SPLIT_SEED)
    # one thread: tables of this size gain nothing from more, and a busy machine loses much to their waiting
    with threadpool_limits(1):
        forest = RandomForestRegressor(100, max_depth=10, random_state=_SPLIT_SEED)
        boosting = HistGradientBoostingRegressor(max_iter=100, max_depth=5, random_state=_SPLIT_SEED)
        rows = [_judged("random forest", forest, x, y, train, test), _judged("boosting", boosting, x, y, train, test)]
        full = x.loc[:, x.notna().mean() > 0.8].dropna()
        if len(full) >= 30 and full.shape[1]:
            parts = (np.flatnonzero(np.isin(full.index, part)) for part in (train, test))
            rows.append(_judged("linear (complete rows)", LinearRegression(), full, y[full.index], *parts))
        permuted = permutation_importance(forest, x.iloc[test], y[test], n_repeats=5, random_state=_SPLIT_SEED)
    importance = pd.DataFrame({"feature": x.columns, "importance": permuted.importances_mean,
                               "std": permuted.importances_std})  # fmt: skip
    quality = pd.DataFrame(rows, columns=["model", "n", "r2", "rmse", "cv_r2"])
    return Prediction(importance.sort_values("importance", ascending=False, ignore_index=True), quality)


def _design(table: ConfigTable) -> pd.DataFrame:
    """Numbers as logarithms, truth values as they are, words as codes; columns of fewer than two values go."""
    columns = {}
    names = [f.name for f in table.features()]
    if table.column(_SIZE).notna().any():
        names.append(_SIZE)
    for each in table.features(list(dict.fromkeys(names))):
        column = table.frame[each.name]
        if each.kind is Kind.NUMERIC:
            columns[each.name] = np.log1p(column)
        elif each.kind is Kind.BOOLEAN:
            columns[each.name] = column
        else:
            codes = pd.factorize(column.astype(object), sort=True)[0]
            columns[each.name] = pd.Series(np.where(codes < 0, np.nan, codes))
    frame = pd.DataFrame(columns)
    return frame.loc[:, frame.nunique() > 1]


def _judged(
    name: str, model: Any, x: pd.DataFrame, y: NDArray[np.float64], train: NDArray[np.int64], test: NDArray[np.int64]
) -> tuple[str, int, float, float, float]:
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_score

    folds = KFold(5, shuffle=True, random_state=_SPLIT_SEED)
    crossed = float(cross_val_score(model, x, y, cv=folds, scoring="r2").mean())
    model.fit(x.iloc[train], y[train])
    told = model.predict(x.iloc[test])
    rmse = float(np.sqrt(np.mean((told - y[test]) ** 2)))
    return name, len(y), float(r2_score(y[test], told)), rmse, crossed


@dataclass(frozen=True, eq=False)
class Agreement:
    """Clusters by configuration against score quantiles: labels, a t-SNE place a model; `summary` has ARI and NMI."""

    place: NDArray[np.float64]
    cluster: NDArray[np.int64]
    score: NDArray[np.float64]
    summary: Mapping[str, Any]


def agreement(table: ConfigTable, scores: pd.Series, rule: Gower | None = None) -> Agreement:
    """Average-linkage clusters on Gower distances (min(10, n / 20) of them) against score quantiles as many."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform
    from sklearn.manifold import TSNE
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
    from threadpoolctl import threadpool_limits

    known = np.flatnonzero(scores.notna().to_numpy())
    chosen = np.sort(np.random.default_rng(_SPLIT_SEED).choice(known, min(_MOST, len(known)), replace=False))
    distances = np.nan_to_num(matrix(encode(table, rule).take(chosen)), nan=1.0).astype(np.float64)
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0.0)
    groups = max(2, min(_GROUPS, len(chosen) // 20))
    cluster = fcluster(linkage(squareform(distances), "average"), groups, "maxclust").astype(np.int64)
    score = scores.to_numpy(dtype=np.float64)[chosen]
    bins = pd.qcut(pd.Series(score), groups, labels=False, duplicates="drop").to_numpy()
    with threadpool_limits(1):  # as above
        place = TSNE(
            metric="precomputed",
            init="random",
            perplexity=min(30, len(chosen) - 1),
            random_state=_SPLIT_SEED,
            max_iter=500,
        ).fit_transform(distances)
    summary = {"models": len(chosen), "clusters": len(np.unique(cluster)), "ari": adjusted_rand_score(cluster, bins),
               "nmi": normalized_mutual_info_score(cluster, bins)}  # fmt: skip
    return Agreement(np.asarray(place, dtype=np.float64), cluster, score, summary)
