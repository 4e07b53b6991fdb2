"""What the mask analyses write: pictures of each seed and k, summaries, JSON with the published keys."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heritage.masks.clusters import PublishedHamming
from heritage.masks.experiment import SeedRun, corrected_summary, metrics_summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito: told apart in every common form of colour blindness; markers tell the rest of many clusters apart
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#882255", "#000000")
_MARKERS = "osD^"
_STYLE: Any = {
    "font.size": 10, "axes.titlesize": 11.5, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": "#E3E3E3", "legend.frameon": False, "legend.fontsize": 9, "axes.edgecolor": "#606060",
}  # fmt: skip
_TSNE_LEAST = 30  # features below which an embedding says nothing


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` (folders made), NaN and infinity as null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(plain(content), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """`value` as JSON values: numpy numbers unwrapped, NaN and infinity as None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    unwrapped = value.item() if hasattr(value, "item") else value
    return None if isinstance(unwrapped, float) and not math.isfinite(unwrapped) else unwrapped


def write_experiment(
    runs: Sequence[SeedRun], folder: Path, component: str, told: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """The published tree: seed_S/k_K/ four pictures, summary/ two pictures and metrics_summary.json.

    Beside it, summary/corrected_summary.json. `told` hears each folder before it is drawn. Returns the paths.
    """
    written: list[Path] = []
    for run in runs:
        place = folder / f"seed_{run.seed}" / f"k_{run.k}"
        told(f"seed {run.seed}, k {run.k}")
        written += _write_run(run, place, component)
    summary = folder / "summary"
    for name, content in (("metrics_summary", metrics_summary(runs)), ("corrected_summary", corrected_summary(runs))):
        write_json(summary / f"{name}.json", content)
        written.append(summary / f"{name}.json")
    written.append(_save(lambda: _ratios(runs, component), summary / "summary_separation_ratios.png"))
    written.append(_save(lambda: _distances(runs, component), summary / "summary_distances.png"))
    return written


def _write_run(run: SeedRun, place: Path, component: str) -> list[Path]:
    title = f"{component}: seed {run.seed}, k = {run.k}, feature {run.feature}"
    figures: dict[str, Callable[[], Figure]] = {
        "spy_plot": lambda: _spy(run, title), "statistics": lambda: _statistics(run, title),
        "distance_heatmap": lambda: _heatmap(run.metrics, title),
    }  # fmt: skip
    if len(run.labels) >= _TSNE_LEAST:
        figures["tsne"] = lambda: _tsne(run, title)
    prefix = f"seed{run.seed}_k{run.k}_feat{run.feature}"
    return [_save(draw, place / f"{prefix}_{name}.png") for name, draw in figures.items()]


def _save(draw: "Callable[[], Figure]", path: Path) -> Path:
    from matplotlib import rc_context

    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context(_STYLE):
        draw().savefig(path, dpi=130)
    return path


def _panels(columns: int, width: float, height: float) -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(np.ravel(figure.subplots(1, columns)))


def _spy(run: SeedRun, title: str) -> "Figure":
    """Kept weights (dark), features sorted by cluster, clusters parted by lines."""
    figure, (axes,) = _panels(1, 9, 5)
    order = np.argsort(run.labels, kind="stable")
    axes.imshow(run.mask.T[order], cmap="binary", aspect="auto", interpolation="nearest", vmin=0, vmax=1.25)
    ends = np.cumsum(run.sizes)
    for end in ends[:-1]:
        axes.axhline(end - 0.5, color=_COLOURS[3], linewidth=1)
    middles = ends - np.array(run.sizes) / 2
    shown = [(m, f"{c} ({n})") for c, (m, n) in enumerate(zip(middles, run.sizes, strict=True)) if n >= len(order) / 20]
    axes.set_yticks([m for m, _ in shown], [t for _, t in shown])
    axes.grid(visible=False)
    ratio = run.metrics.separation_ratio
    axes.set(title=f"{title}\nseparation {ratio:.2f} published, {run.corrected.separation_ratio:.2f} corrected",
             xlabel="row of the matrix (dark: weight kept)", ylabel="cluster (features)")  # fmt: skip
    return figure


def _statistics(run: SeedRun, title: str) -> "Figure":
    figure, (left, right) = _panels(2, 9, 3.6)
    x = np.arange(run.k)
    colours = [_COLOURS[3] if n == 1 else _COLOURS[0] for n in run.sizes]
    left.bar(x, run.sizes, color=colours)
    left.set(title="Features in each cluster", xlabel="cluster (orange-red: a single feature)", ylabel="features")
    right.bar(x, run.metrics.within, color=colours)
    right.axhline(run.corrected.mean_within / len(run.mask), color="black", linestyle="--", label="mean over pairs")
    right.set(title="Distance within clusters", xlabel="cluster", ylabel="mean Hamming distance (share)")
    right.legend(loc="lower left", bbox_to_anchor=(0, 1.08))
    for axes in (left, right):
        axes.set_xticks(x)
        axes.grid(visible=False, axis="x")
    figure.suptitle(title, fontsize=11.5, fontweight="bold")
    return figure


def _tsne(run: SeedRun, title: str) -> "Figure":
    place = embed(run.mask)
    figure, (axes,) = _panels(1, 8, 5)
    for c in range(run.k):
        rows = run.labels == c
        if rows.any():
            axes.scatter(place[rows, 0], place[rows, 1], s=34, color=_COLOURS[c % len(_COLOURS)], alpha=0.85,
                         marker=_MARKERS[c // len(_COLOURS) % len(_MARKERS)], label=f"{c} ({rows.sum()})",
                         linewidths=0)  # fmt: skip
    axes.set(title=title, xlabel="t-SNE of zero patterns", xticks=[], yticks=[])
    figure.legend(loc="outside right center", title="cluster", ncols=1 + (run.k > 16))
    return figure


def embed(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Two t-SNE coordinates of each column of `mask`; one thread, so that runs agree and a busy machine is spared."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        place = TSNE(perplexity=min(30, mask.shape[1] - 1), random_state=42, init="pca").fit_transform(
            mask.T.astype(float)
        )
    return np.asarray(place, dtype=np.float64)


def _heatmap(metrics: PublishedHamming, title: str) -> "Figure":
    k = len(metrics.within)
    figure, (axes,) = _panels(1, 4.6 + 0.36 * k, 3.2 + 0.3 * k)
    values = metrics.between.copy()
    np.fill_diagonal(values, metrics.within)
    image = axes.imshow(values, cmap="cividis", vmin=0)
    for (r, c), v in np.ndenumerate(values):
        axes.text(c, r, f"{v:.2f}".lstrip("0") or "0", ha="center", va="center", fontsize=8,
                  color="white" if v < 0.55 * values.max() else "black")  # fmt: skip
    axes.set_xticks(np.arange(k))
    axes.set_yticks(np.arange(k))
    axes.grid(visible=False)
    axes.set(xlabel="cluster", ylabel="cluster")
    axes.set_title(f"{title}\nwithin (diagonal) and between", fontsize=10)
    figure.colorbar(image, ax=axes, label="mean normalised Hamming distance", shrink=0.8)
    return figure


def _ratios(runs: Sequence[SeedRun], component: str) -> "Figure":
    figure, (axes,) = _panels(1, 8, 4)
    k_values = sorted({r.k for r in runs})
    series = {
        "published": [[r.metrics.separation_ratio for r in runs if r.k == k] for k in k_values],
        "corrected (pairs, no singletons)": [
            [r.corrected.separation_ratio for r in runs if r.k == k] for k in k_values
        ],
        "no structure (same sums)": [[r.corrected.null_ratio for r in runs if r.k == k] for k in k_values],
    }
    for (name, values), colour, marker in zip(
        series.items(), (_COLOURS[1], _COLOURS[0], "#7F7F7F"), "sov", strict=True
    ):
        known = [np.array(v)[np.isfinite(v)] for v in values]
        if all(len(v) for v in known):
            axes.errorbar(np.arange(len(k_values)), [v.mean() for v in known], [v.std() for v in known], color=colour,
                          marker=marker, capsize=4, label=name)  # fmt: skip
    axes.axhline(1.0, color="black", linestyle="--", linewidth=1)
    axes.set_xticks(np.arange(len(k_values)), [str(k) for k in k_values])
    axes.set(title=f"{component}: separation over {len({r.seed for r in runs})} seeds", xlabel="clusters k",
             ylabel="between / within (mean and deviation)", ylim=(0, None))  # fmt: skip
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _mean(values: Sequence[float]) -> float:
    """Mean of those that are known, NaN where none is: every cluster may hold one feature only."""
    known = [v for v in values if v == v]
    return float(np.mean(known)) if known else float("nan")


def _distances(runs: Sequence[SeedRun], component: str) -> "Figure":
    figure, both = _panels(2, 9, 3.8)
    k_values = sorted({r.k for r in runs})
    seeds = len({r.seed for r in runs})
    for axes, what in zip(both, ("within", "between"), strict=True):
        for at, k in enumerate(k_values):
            values = [getattr(r.metrics, f"mean_{what}") for r in runs if r.k == k]
            axes.scatter(np.full(len(values), at), values, s=22, color=_COLOURS[5], linewidths=0)
        means = [np.mean([getattr(r.metrics, f"mean_{what}") for r in runs if r.k == k]) for k in k_values]
        fair = [_mean([getattr(r.corrected, f"mean_{what}") / len(r.mask) for r in runs if r.k == k]) for k in k_values]
        axes.plot(np.arange(len(k_values)), means, color=_COLOURS[1], marker="s", label="published mean")
        axes.plot(np.arange(len(k_values)), fair, color=_COLOURS[0], marker="o", label="mean over pairs")
        axes.set_xticks(np.arange(len(k_values)), [str(k) for k in k_values])
        axes.set(title=f"Distance {what} clusters", xlabel="clusters k", ylim=(0, None))
    both[0].set_ylabel("normalised Hamming distance")
    handles, labels = both[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    figure.suptitle(f"{component}: {seeds} seeds (dots)", fontsize=11.5, fontweight="bold")
    return figure
