"""The four published analyses: one feature, many features, many seeds and cluster numbers, and their comparison.

Where the published procedure has an option, it is the same here; beside its numbers stand the corrected ones.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.masks.clusters import (
    Clustering,
    Corrected,
    Published,
    PublishedHamming,
    average_linkage,
    corrected,
    kmeans,
    published,
    published_hamming,
    shuffled,
)
from heritage.masks.hamming import PackedMask, all_pairs, nearest, pack
from heritage.masks.matrix import check_mask, mask_of


@dataclass(frozen=True, eq=False)
class Analysis:
    """One feature with those most like it: `features` (main first), `distances` to it, both kinds of numbers."""

    main_feature_idx: int
    features: NDArray[np.int64]
    distances: NDArray[np.int64]
    labels: NDArray[np.int64]
    metrics: Published
    corrected: Corrected
    linkage: Corrected


def seeded_feature(seed: int, n: int) -> int:
    """The feature that the published scripts draw for `seed`."""
    return int(np.random.RandomState(seed).randint(0, n))


def analyze(
    matrix: NDArray[np.float32], feature: int | None = None, n_features: int = 128, n_clusters: int = 8,
    seed: int = 42, null_draws: int = 0,
) -> Analysis:  # fmt: skip
    """Cluster `feature` (None: drawn by `seed`) and its `n_features` nearest by zero pattern.

    `null_draws` masks without structure give the ratio something to be compared with (each costs a k-means).
    """
    mask = check_mask(mask_of(matrix), "matrix")
    main = seeded_feature(seed, mask.shape[1]) if feature is None else feature
    return _analysis(mask, pack(mask), main, (n_features, n_clusters, seed, null_draws))


def _analysis(mask: NDArray[np.bool_], packed: PackedMask, main: int, plan: tuple[int, int, int, int]) -> Analysis:
    n_features, n_clusters, seed, null_draws = plan
    near, distance = nearest(packed, main, n_features)
    features = np.concatenate([[main], near])
    own = mask[:, features]
    hamming = all_pairs(pack(own))
    found = kmeans(own.T.astype(np.int32), n_clusters, seed)
    rng = np.random.default_rng(seed)
    null = [_null_ratio(own, n_clusters, seed + d, rng) for d in range(null_draws)]
    return Analysis(
        main, features, distance, found.labels, published(own.T, found), corrected(hamming, found.labels, null),
        corrected(hamming, average_linkage(hamming, n_clusters)),
    )  # fmt: skip


def _null_ratio(own: NDArray[np.bool_], k: int, seed: int, rng: np.random.Generator) -> float:
    """Corrected ratio of the same clustering on a mask with the same sums and no structure."""
    drawn = shuffled(own, rng)
    return corrected(all_pairs(pack(drawn)), kmeans(drawn.T.astype(np.int32), k, seed).labels).separation_ratio


def individual(analysis: Analysis) -> dict[str, Any]:
    """The published numbers of one execution, under their published names."""
    d, m = analysis.distances, analysis.metrics
    return {
        "main_feature_idx": analysis.main_feature_idx, "hamming_min": int(d.min()), "hamming_max": int(d.max()),
        "hamming_mean": float(d.mean()), "hamming_std": float(d.std()), **asdict(m),
    }  # fmt: skip


def repeat(
    matrix: NDArray[np.float32], n_executions: int = 10, n_features: int = 128, n_clusters: int = 8, seed: int = 42,
    null_draws: int = 0,
) -> tuple[dict[str, Any], list[Analysis]]:  # fmt: skip
    """`n_executions` analyses of features drawn from one stream, k-means seeded `seed` + i: summary and analyses.

    The summary has the published keys n_executions, n_features, n_clusters, aggregated_metrics, individual_metrics,
    then corrected_metrics: the same features by the corrected numbers, k-means and average linkage.
    """
    if n_executions < 1:
        raise BadInput(f"{n_executions} executions asked for; at least one is needed")
    mask = check_mask(mask_of(matrix), "matrix")
    packed = pack(mask)
    stream = np.random.RandomState(seed)
    drawn = [int(stream.randint(0, mask.shape[1])) for _ in range(n_executions)]
    done = [_analysis(mask, packed, f, (n_features, n_clusters, seed + i, null_draws)) for i, f in enumerate(drawn)]
    each = [individual(a) for a in done]
    summary = {
        "n_executions": n_executions, "n_features": n_features, "n_clusters": n_clusters,
        "aggregated_metrics": {"n_executions": n_executions, **_aggregated(each)}, "individual_metrics": each,
        "corrected_metrics": {"kmeans": [asdict(a.corrected) for a in done],
                              "average_linkage": [asdict(a.linkage) for a in done]},
    }  # fmt: skip
    return summary, done


def _aggregated(each: Sequence[dict[str, Any]]) -> dict[str, float]:
    values = {key: np.array([e[key] for e in each], dtype=np.float64)
              for key in ("hamming_min", "hamming_max", "mean_within_cluster", "mean_between_cluster",
                          "separation_ratio", "total_inertia")}  # fmt: skip
    values["hamming_range"] = values["hamming_max"] - values["hamming_min"]
    found = {f"{key}_{name}": float(getattr(v, name)()) for key, v in values.items() for name in ("mean", "std")}
    balance = np.array([e["cluster_balance_std"] for e in each], dtype=np.float64)
    return found | {"cluster_balance_mean": float(balance.mean()), "cluster_balance_std": float(balance.std())}


@dataclass(frozen=True, eq=False)
class SeedRun:
    """One seed and k of the experiment: the subset's mask (D, n), labels, published and corrected numbers."""

    seed: int
    k: int
    feature: int
    mask: NDArray[np.bool_]
    labels: NDArray[np.int64]
    metrics: PublishedHamming
    inertia: float
    corrected: Corrected

    @property
    def sizes(self) -> list[int]:
        """Members of each cluster."""
        return [int(n) for n in np.bincount(self.labels, minlength=self.k)]


def multi_seed(
    matrix: NDArray[np.float32], seeds: int = 10, n_similar: int = 128, k_values: Sequence[int] = (4, 8, 16),
    on: str = "mask", null_draws: int = 0,
) -> list[SeedRun]:  # fmt: skip
    """For each seed a feature, the `n_similar` features nearest to it (itself counted), clusters for each k.

    `on`: 'mask' clusters zero patterns; 'weights' clusters the weights themselves, as published, although the
    features were chosen by their masks. Every random draw follows from the seed.
    """
    if on not in ("mask", "weights"):
        raise BadInput(f"clustering on '{on}' is not known; choose mask or weights")
    if seeds < 1 or not k_values:
        raise BadInput(f"{seeds} seeds and cluster numbers {list(k_values)}; at least one of each is needed")
    mask = check_mask(mask_of(matrix), "matrix")
    if not 2 <= n_similar <= mask.shape[1]:
        raise BadInput(f"{n_similar} similar features asked for; the matrix has {mask.shape[1]}, choose 2 to that")
    packed = pack(mask)
    return [
        run
        for seed in range(seeds)
        for run in _one_seed(matrix, mask, packed, seed, (n_similar, k_values, on, null_draws))
    ]


def _one_seed(
    matrix: NDArray[np.float32], mask: NDArray[np.bool_], packed: PackedMask, seed: int,
    plan: tuple[int, Sequence[int], str, int],
) -> list[SeedRun]:  # fmt: skip
    n_similar, k_values, on, null_draws = plan
    feature = seeded_feature(seed, mask.shape[1])
    features = np.concatenate([[feature], nearest(packed, feature, n_similar - 1)[0]])
    own = mask[:, features]
    points = own.T.astype(np.int32) if on == "mask" else np.ascontiguousarray(matrix[:, features].T)
    hamming = all_pairs(pack(own))
    runs = []
    for k in k_values:
        found: Clustering = kmeans(points, k, seed)
        rng = np.random.default_rng((seed, k))
        null = [_null_ratio(own, k, seed + d, rng) for d in range(null_draws)]
        numbers = published_hamming(hamming / len(own), found.labels, k, rng)
        runs.append(SeedRun(seed, k, feature, own, found.labels, numbers, found.inertia,
                            corrected(hamming, found.labels, null)))  # fmt: skip
    return runs


def metrics_summary(runs: Sequence[SeedRun]) -> dict[str, Any]:
    """The published metrics_summary.json: seed_S / k_K numbers, then summary / separation_ratios_by_k."""
    found: dict[str, Any] = {}
    for run in runs:
        found.setdefault(f"seed_{run.seed}", {})[f"k_{run.k}"] = {
            "mean_within": run.metrics.mean_within, "mean_between": run.metrics.mean_between,
            "separation_ratio": run.metrics.separation_ratio, "cluster_sizes": run.sizes, "inertia": run.inertia,
        }  # fmt: skip
    by_k = {
        f"k_{k}": _spread([r.metrics.separation_ratio for r in runs if r.k == k]) for k in sorted({r.k for r in runs})
    }
    return {**found, "summary": {"separation_ratios_by_k": by_k}}


def corrected_summary(runs: Sequence[SeedRun]) -> dict[str, Any]:
    """The corrected numbers in the same shape, for a file of their own."""
    found: dict[str, Any] = {}
    for run in runs:
        found.setdefault(f"seed_{run.seed}", {})[f"k_{run.k}"] = asdict(run.corrected)
    by_k = {}
    for k in sorted({r.k for r in runs}):
        own = [r.corrected for r in runs if r.k == k]
        by_k[f"k_{k}"] = _spread([c.separation_ratio for c in own]) | {"singletons": sum(c.n_singletons for c in own)}
    return {**found, "summary": {"separation_ratios_by_k": by_k}}


def _spread(values: Sequence[float]) -> dict[str, float]:
    v = np.asarray(values, dtype=np.float64)
    v = v[np.isfinite(v)]
    return {n: float(getattr(v, n)()) if len(v) else float("nan") for n in ("mean", "std", "min", "max")}
