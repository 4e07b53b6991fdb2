"""The pictures of study 11."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from heritage.configs.fields import short
from heritage.configs.figures import BLUE, COLOURS, bars, nothing, panels, plain
from heritage.configs.prediction import Agreement, Prediction

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drift_figure(pairs: pd.DataFrame, correlation: Mapping[str, Any]) -> "Figure":
    """Change in score against drift, with medians and the correlation."""
    figure, (axes,) = panels(height=4.4)
    if not len(pairs):
        nothing(axes, "edges with scores at both ends")
        return figure
    axes.scatter(pairs["drift"], pairs["delta_elo"], s=16, color=BLUE, alpha=0.55, linewidths=0)
    axes.axhline(0, color="black", linewidth=1)
    axes.axvline(pairs["drift"].median(), color="black", linestyle="--", linewidth=1, label="median drift")
    told = (
        ""
        if correlation["pearson"] is None
        else f", Pearson {correlation['pearson']:.2f} (p = {correlation['pearson_p']:.2g})"
    )
    axes.set(title="Drift and change in score", ylabel="score of child minus parent",
             xlabel=f"config drift (n = {len(pairs):,}{told})")  # fmt: skip
    axes.legend(loc="upper right")
    return figure


def importance_figure(prediction: Prediction) -> "Figure":
    """Permutation importance of fields beside the quality of the predictions."""
    top = prediction.importance.head(15)
    figure, (left, right) = panels(1, 2, height=max(2.8, 1.2 + 0.25 * len(top)), width=10)
    if not len(top):
        nothing(left, "prediction")
        nothing(right, "prediction")
        return figure
    value = top["importance"].to_numpy()
    bars(left, [short(f) for f in top["feature"]], value, spans=(value - top["std"], value + top["std"]),
         told=[f"{v:.3f}" for v in value])  # fmt: skip
    left.set(title="What predicts the score", xlabel="loss of R² when shuffled (forest, test rows)")
    quality = prediction.quality
    bars(right, quality["model"].tolist(), quality["cv_r2"],
         told=[f"{v:.2f} (n = {n:,})" for v, n in zip(quality["cv_r2"], quality["n"], strict=True)])  # fmt: skip
    right.set_xlim(min(0.0, 1.15 * float(quality["cv_r2"].min())), 1.3)
    plain(left, log=False)
    right.set(title="How well", xlabel="R², five-fold cross-validation")
    return figure


def ecosystem_figure(ecosystem: pd.DataFrame) -> "Figure":
    """Score against downloads and against descendants."""
    figure, both = panels(1, 2, height=3.6)
    for axes, column in zip(both, ("downloads", "descendants"), strict=True):
        usable = ecosystem.dropna(subset=[column])
        if not len(usable):
            nothing(axes, column)
            continue
        axes.scatter(usable[column] + 1, usable["score"], s=14, color=BLUE, alpha=0.5, linewidths=0)
        plain(axes)
        axes.set(title=f"Score and {column}", xlabel=f"{column} + 1 (log scale, n = {len(usable):,})", ylabel="score")
    return figure


def clusters_figure(groups: Agreement | None) -> "Figure":
    """Models by configuration (t-SNE of Gower distances), coloured by cluster and by score."""
    figure, (left, right) = panels(1, 2, height=4.4, width=9.6)
    if groups is None:
        nothing(left, "scored models")
        nothing(right, "scored models")
        return figure
    for number, cluster in enumerate(np.unique(groups.cluster)):
        rows = groups.cluster == cluster
        axes_marker = "os^Dv"[number // len(COLOURS)]
        left.scatter(groups.place[rows, 0], groups.place[rows, 1], s=14, color=COLOURS[number % len(COLOURS)],
                     marker=axes_marker, linewidths=0)  # fmt: skip
    ari, nmi = groups.summary["ari"], groups.summary["nmi"]
    left.set_title(f"{groups.summary['clusters']} clusters by configuration")
    drawn = right.scatter(groups.place[:, 0], groups.place[:, 1], s=14, c=groups.score, cmap="cividis", linewidths=0)
    figure.colorbar(drawn, ax=right, label="score", shrink=0.85)
    right.set_title(f"Score (ARI {ari:.2f}, NMI {nmi:.2f})")
    for axes in (left, right):
        axes.set(xticks=[], yticks=[], xlabel="t-SNE of Gower distances")
    return figure
