"""`heritage masks`: clusters of zero patterns in pruned weights."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heritage.cli.output import JsonFlag, console, print_json, progress
from heritage.errors import BadInput
from heritage.names import check_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from heritage.masks.clusters import Corrected
    from heritage.masks.experiment import Analysis

app = typer.Typer(name="masks", help="Zero patterns of pruned weights.", no_args_is_help=True)

MatrixArgument = Annotated[
    str,
    typer.Argument(
        metavar="MATRIX",
        help=".safetensors, .pt (weights only), .npy, or a registered version such as models:/name/3; "
        "columns are features.",
    ),
]
TensorOption = Annotated[str | None, typer.Option("--tensor", help="Name of the tensor in a file of several.")]
NearOption = Annotated[int, typer.Option("--n-features", min=1, help="Similar features to look at.")]
ClustersOption = Annotated[int, typer.Option("--n-clusters", min=1, help="k-means clusters.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of every draw.")]
NullOption = Annotated[
    int, typer.Option("--null-draws", min=0, help="Masks without structure to compare the separation with.")
]


@app.command()
def analyze(
    matrix: MatrixArgument,
    feature_idx: Annotated[int | None, typer.Option("--feature-idx", help="Feature (drawn if absent).")] = None,
    n_features: NearOption = 128, n_clusters: ClustersOption = 8, seed: SeedOption = 42, null_draws: NullOption = 0,
    tensor: TensorOption = None, as_json: JsonFlag = False,
) -> None:  # fmt: skip
    """One feature, the features most like it, and their clusters."""
    from heritage.masks.experiment import analyze as analysed
    from heritage.masks.experiment import individual
    from heritage.masks.report import plain

    found = analysed(_loaded(matrix, tensor), feature_idx, n_features, n_clusters, seed, null_draws)
    ranks = [{"rank": r + 1, "index": int(i), "distance": int(d)}
             for r, (i, d) in enumerate(zip(found.features[1:], found.distances, strict=True))]  # fmt: skip
    if as_json:
        print_json(plain({"matrix": matrix, **individual(found), "corrected": asdict(found.corrected),
                           "average_linkage": asdict(found.linkage), "similar": ranks}))  # fmt: skip
        return
    _show_analysis(found, ranks)


def _show_analysis(found: "Analysis", ranks: list[dict[str, int]]) -> None:
    from heritage.masks.verdicts import separation

    console.print(f"feature {found.main_feature_idx}: {len(ranks)} most similar features by Hamming distance")
    console.print(f"{'rank':>6} {'index':>8} {'distance':>9}")
    for row in ranks:
        console.print(f"{row['rank']:>6} {row['index']:>8} {row['distance']:>9}")
    m = found.metrics
    console.print(f"clusters {m.cluster_sizes}, inertia {m.total_inertia:,.1f}")
    console.print(f"published: within {m.mean_within_cluster:.4f}, between {m.mean_between_cluster:.4f}, "
                  f"ratio {m.separation_ratio:.4f} ({separation(m.separation_ratio)})")  # fmt: skip
    _show_corrected("corrected", found.corrected)
    _show_corrected("average linkage", found.linkage)


def _show_corrected(name: str, c: "Corrected") -> None:
    null = f", without structure {c.null_ratio:.3f} (p = {c.null_p:.3f})" if c.null_p == c.null_p else ""
    console.print(f"{name}: within {c.mean_within:,.1f}, between {c.mean_between:,.1f}, "
                  f"ratio {c.separation_ratio:.4f}, "
                  f"silhouette {c.silhouette:.3f}, {c.n_singletons} singletons{null}")  # fmt: skip


@app.command()
def repeat(
    matrix: MatrixArgument,
    n_executions: Annotated[int, typer.Option("--n-executions", min=1, help="Features to draw.")] = 10,
    n_features: NearOption = 128, n_clusters: ClustersOption = 8, seed: SeedOption = 42, null_draws: NullOption = 0,
    output_json: Annotated[Path | None, typer.Option("--output-json", help="Where the results are written.")] = None,
    tensor: TensorOption = None, as_json: JsonFlag = False,
) -> None:  # fmt: skip
    """The analysis over several drawn features, with means and deviations."""
    from heritage.masks.experiment import repeat as repeated
    from heritage.masks.report import plain, write_json

    weights = _loaded(matrix, tensor)
    summary, _ = repeated(weights, n_executions, n_features, n_clusters, seed, null_draws)
    name = Path(matrix).stem if tensor is None else tensor
    result = {"matrix_path": matrix, "matrix_name": name, "matrix_shape": list(weights.shape), **summary}
    if output_json is not None:
        write_json(output_json, result)
    if as_json:
        print_json(plain(result))
    else:
        _show_aggregated(summary)


def _show_aggregated(summary: dict[str, Any]) -> None:
    from heritage.masks.verdicts import balance, separation

    m = summary["aggregated_metrics"]
    for key in ("hamming_min", "hamming_max", "hamming_range", "mean_within_cluster", "mean_between_cluster",
                "separation_ratio", "total_inertia"):  # fmt: skip
        console.print(f"{key.replace('_', ' '):<22} {m[f'{key}_mean']:>14,.4f} +- {m[f'{key}_std']:,.4f}")
    spread = m["cluster_balance_mean"]
    console.print(f"{'cluster balance':<22} {spread:>14,.4f} +- {m['cluster_balance_std']:,.4f}")
    console.print(f"{separation(m['separation_ratio_mean'])} separation, {balance(spread)} clusters (as published)")
    for name, each in summary["corrected_metrics"].items():
        ratios = [c["separation_ratio"] for c in each if c["separation_ratio"] == c["separation_ratio"]]
        single = sum(c["n_singletons"] for c in each)
        mean = f"{sum(ratios) / len(ratios):.4f}" if ratios else "unknown"
        console.print(f"corrected, {name.replace('_', ' ')}: ratio {mean}, {single} singletons in all")


@app.command()
def compare(
    results_dir: Annotated[Path, typer.Option("--results-dir", help="Folder of results of `masks repeat`.")] = Path(
        "analysis_results"
    ),
    as_json: JsonFlag = False,
) -> None:
    """Several matrices side by side."""
    from heritage.masks.report import plain
    from heritage.masks.verdicts import comparison, insights, load_results

    table = comparison(load_results(results_dir))
    lines = insights(table)
    if as_json:
        print_json(plain({"matrices": table.to_dict("records"), "insights": lines}))
        return
    console.print(table.to_string(index=False, float_format="%.3f"), markup=False, soft_wrap=True)
    for line in lines:
        console.print(line, markup=False)


@app.command(context_settings={"allow_extra_args": True})
def experiment(
    context: typer.Context,
    method: Annotated[str, typer.Option("--method", help="wanda, sparsegpt or magnitude.")],
    component: Annotated[str, typer.Option("--component", help="Such as mlp.down_proj or self_attn.q_proj.")],
    layer: Annotated[int, typer.Option("--layer", min=0, help="Layer number.")] = 1,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many seeds.")] = 10,
    n_similar: Annotated[
        int, typer.Option("--n-similar", min=2, help="Features clustered, the drawn one counted.")
    ] = 128,
    k_values: Annotated[list[int] | None, typer.Option("--k-values", min=1, help="Cluster numbers: 4 8 16.")] = None,
    sparsity: Annotated[float, typer.Option("--sparsity", help="Share of weights set to zero.")] = 0.5,
    matrix: Annotated[
        str | None, typer.Option("--matrix", help="A pruned matrix, in place of our own network.")
    ] = None,
    tensor: TensorOption = None,
    null_draws: NullOption = 0,
    output_dir: Annotated[Path | None, typer.Option("--output-dir", help="Folder for pictures and numbers.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Clusters over many seeds and cluster numbers, with pictures; prunes a small network of our own if need be."""
    from heritage.masks.experiment import metrics_summary, multi_seed
    from heritage.masks.prune import METHODS
    from heritage.masks.report import plain, write_experiment

    if method not in METHODS:
        raise BadInput(f"pruning method '{method}' is not known; choose one of {', '.join(METHODS)}")
    check_name(component, "component")
    numbers = _numbers(k_values, context.args)
    weights = _loaded(matrix, tensor) if matrix is not None else _own(method, layer, component, sparsity)
    folder = output_dir or Path("results/metrics/multi_seed_clustering") / method / component
    runs = multi_seed(weights, seeds, n_similar, numbers, null_draws=null_draws)
    with progress() as bar:
        task = bar.add_task("pictures", total=len(runs))
        paths = write_experiment(runs, folder, component, partial(_advance, bar, task))
    if as_json:
        print_json(plain(metrics_summary(runs)))
        return
    for k, spread in metrics_summary(runs)["summary"]["separation_ratios_by_k"].items():
        console.print(f"{k}: published separation {spread['mean']:.3f} +- {spread['std']:.3f}")
    console.print(f"{len(paths)} files in {folder}", markup=False)


def _advance(bar: Any, task: Any, text: str) -> None:
    bar.update(task, advance=1, description=text)


def _numbers(given: list[int] | None, rest: list[str]) -> list[int]:
    """Cluster numbers of `--k-values 4 8 16`: the first is the option's, the rest stand behind it."""
    if given is None and not rest:
        return [4, 8, 16]
    try:
        return sorted({*(given or []), *(int(r) for r in rest)})
    except ValueError as error:
        raise BadInput(f"'{' '.join(rest)}' are not cluster numbers; give them as --k-values 4 8 16") from error


def _own(method: str, layer: int, component: str, sparsity: float) -> "NDArray[np.float32]":
    from heritage.masks.network import layer_and_inputs, trained
    from heritage.masks.prune import prune

    network, pictures, _ = trained()
    weights, inputs = layer_and_inputs(network, pictures[:256], layer, component)
    return prune(weights, inputs, method, sparsity)


def _loaded(source: str, tensor: str | None) -> "NDArray[np.float32]":
    """The matrix of a file, or of a registered version whose weights are fetched and verified."""
    from heritage.masks.matrix import load_matrix

    if not source.startswith("models:/"):
        return load_matrix(Path(source), tensor)
    from heritage.cli.connect import connect

    context = connect()
    version = context.registry.version(source.removeprefix("models:/"))
    return load_matrix(context.registry.fetch_weights(version, context.settings.work_dir / "weights"), tensor)
