"""Words for the numbers of mask clustering, and the comparison of several matrices."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heritage.errors import BadInput, NotFound
from heritage.names import printable

_SIMILAR = 0.1  # difference of mean ratios that is called similar


def separation(ratio: float) -> str:
    """excellent above 2, good above 1, moderate above 0.5, else poor, as the documents of the method say."""
    for limit, word in ((2.0, "excellent"), (1.0, "good"), (0.5, "moderate")):
        if ratio > limit:
            return word
    return "poor"


def balance(spread: float) -> str:
    """well-balanced below a standard deviation of sizes of 10, moderately balanced below 20, else imbalanced."""
    return "well-balanced" if spread < 10 else "moderately balanced" if spread < 20 else "imbalanced"


def stability(variation: float) -> str:
    """stable below a coefficient of variation of 30 %, moderate below 50 %, else unstable."""
    return "stable" if variation < 30 else "moderate" if variation < 50 else "unstable"


def load_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Results of `masks repeat` by file stem: every *.json of `folder` with aggregated_metrics.

    Raises `NotFound` where there is none, `BadInput` for a JSON file that is not readable.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_bytes())
        except ValueError as error:
            raise BadInput(f"{path}: not readable as JSON ({printable(str(error))}); mend or remove it") from error
        if isinstance(content, dict) and _complete(content):
            found[path.stem] = content
    if not found:
        raise NotFound(f"{folder}: holds no results; write some with `heritage masks repeat --output-json`")
    return found


_NEEDED = ("hamming_min_mean", "hamming_max_mean", "mean_within_cluster_mean", "mean_between_cluster_mean",
           "separation_ratio_mean", "separation_ratio_std", "cluster_balance_mean")  # fmt: skip


def _complete(content: Mapping[str, Any]) -> bool:
    numbers = content.get("aggregated_metrics")
    return isinstance(numbers, dict) and all(isinstance(numbers.get(k), int | float) for k in _NEEDED)


def comparison(results: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row a matrix: matrix, shape, hamming_min, hamming_max, within, between, ratio, ratio_std, balance,
    corrected_ratio, and the words for separation, sizes and stability.
    """
    rows = []
    for name, content in results.items():
        m = content["aggregated_metrics"]
        shape = "x".join(str(s) for s in content.get("matrix_shape", []))
        variation = (
            100 * m["separation_ratio_std"] / m["separation_ratio_mean"] if m["separation_ratio_mean"] else np.inf
        )
        rows.append((name, shape, *(m[k] for k in _NEEDED), _corrected(content), separation(m["separation_ratio_mean"]),
                     balance(m["cluster_balance_mean"]), stability(variation)))  # fmt: skip
    columns = ["matrix", "shape", "hamming_min", "hamming_max", "within", "between", "ratio", "ratio_std", "balance",
               "corrected_ratio", "separation", "sizes", "stability"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _corrected(content: Mapping[str, Any]) -> float:
    each = content.get("corrected_metrics", {}).get("kmeans", [])
    ratios = [e["separation_ratio"] for e in each if isinstance(e.get("separation_ratio"), int | float)]
    return float(np.nanmean(ratios)) if ratios else float("nan")


def insights(table: pd.DataFrame) -> list[str]:
    """What differs between projections and between pruning methods, read from the names of the matrices."""
    lines = [
        f"{r.matrix}: {r.separation} separation ({r.ratio:.2f}), {r.sizes}, {r.stability}" for r in table.itertuples()
    ]
    kinds = table["matrix"].str.extract(r"((?:q|k|v|o|up|down|gate)_proj)", expand=False)
    methods = table["matrix"].str.extract(r"(wanda|sparsegpt|magnitude)", expand=False)
    return lines + _contrast(table, kinds, "projection") + _contrast(table, methods, "method")


def _contrast(table: pd.DataFrame, group: pd.Series, what: str) -> list[str]:
    means = table["ratio"].groupby(group).mean()
    names: Sequence[str] = [str(n) for n in means.index]
    lines = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            apart = float(means[a] - means[b])
            word = "similar" if abs(apart) < _SIMILAR else f"{a if apart > 0 else b} separates better"
            lines.append(f"{what} {a} ({means[a]:.2f}) and {b} ({means[b]:.2f}): {word}")
    return lines
