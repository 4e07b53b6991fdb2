import json

import numpy as np
import pytest

from heritage.errors import BadInput, NotFound
from heritage.masks.experiment import analyze, individual, metrics_summary, multi_seed, repeat, seeded_feature
from heritage.masks.report import write_experiment, write_json
from heritage.masks.verdicts import balance, comparison, insights, load_results, separation, stability

AGGREGATED = {
    "n_executions", "hamming_min_mean", "hamming_min_std", "hamming_max_mean", "hamming_max_std", "hamming_range_mean",
    "hamming_range_std", "mean_within_cluster_mean", "mean_within_cluster_std", "mean_between_cluster_mean",
    "mean_between_cluster_std", "separation_ratio_mean", "separation_ratio_std", "total_inertia_mean",
    "total_inertia_std", "cluster_balance_mean", "cluster_balance_std",
}  # fmt: skip
INDIVIDUAL = {
    "main_feature_idx", "hamming_min", "hamming_max", "hamming_mean", "hamming_std", "mean_within_cluster",
    "mean_between_cluster", "separation_ratio", "total_inertia", "cluster_sizes", "cluster_balance_std",
}  # fmt: skip


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 1, (96, 80)).astype(np.float32)
    keep = rng.random((96, 8)) < 0.5
    weights[~np.repeat(keep, 10, axis=1) ^ (rng.random(weights.shape) < 0.15)] = 0
    return weights


def test_one_analysis_by_hand(matrix):
    found = analyze(matrix, feature=3, n_features=20, n_clusters=4)
    mask = np.abs(matrix) > 0
    counted = (mask != mask[:, [3]]).sum(axis=0)
    order = [j for j in np.argsort(counted, kind="stable") if j != 3][:20]
    assert found.features.tolist() == [3, *order]
    assert found.distances.tolist() == counted[order].tolist()
    assert len(found.labels) == 21
    assert set(individual(found)) == INDIVIDUAL
    assert sum(found.metrics.cluster_sizes) == 21


def test_the_drawn_feature_is_that_of_the_published_stream(matrix):
    assert seeded_feature(42, 11008) == np.random.RandomState(42).randint(11008) == 7270
    assert analyze(matrix, n_features=5, n_clusters=2).main_feature_idx == seeded_feature(42, 80)


def test_repeat_has_the_published_keys_and_is_reproducible(matrix):
    first, done = repeat(matrix, 3, 20, 4)
    assert list(first)[:5] == ["n_executions", "n_features", "n_clusters", "aggregated_metrics", "individual_metrics"]
    assert set(first["aggregated_metrics"]) == AGGREGATED
    assert all(set(e) == INDIVIDUAL for e in first["individual_metrics"])
    stream = np.random.RandomState(42)
    assert [a.main_feature_idx for a in done] == [stream.randint(0, 80) for _ in range(3)]
    assert json.dumps(repeat(matrix, 3, 20, 4)[0]) == json.dumps(first)
    ratios = [e["separation_ratio"] for e in first["individual_metrics"]]
    assert first["aggregated_metrics"]["separation_ratio_mean"] == pytest.approx(np.mean(ratios))
    assert first["aggregated_metrics"]["separation_ratio_std"] == pytest.approx(np.std(ratios))


def test_planted_structure_is_told_from_its_null(matrix):
    assert analyze(matrix, 0, 40, 4, null_draws=9).corrected.null_p == pytest.approx(0.1)


def test_multi_seed_counts_the_feature_itself_and_is_reproducible(matrix):
    runs = multi_seed(matrix, 2, 40, (2, 4))
    assert [(r.seed, r.k, len(r.labels)) for r in runs] == [(0, 2, 40), (0, 4, 40), (1, 2, 40), (1, 4, 40)]
    again = metrics_summary(multi_seed(matrix, 2, 40, (2, 4)))
    assert again == metrics_summary(runs)
    assert set(again) == {"seed_0", "seed_1", "summary"}
    assert set(again["seed_0"]["k_4"]) == {
        "mean_within",
        "mean_between",
        "separation_ratio",
        "cluster_sizes",
        "inertia",
    }
    assert set(again["summary"]["separation_ratios_by_k"]["k_2"]) == {"mean", "std", "min", "max"}


def test_clusters_are_of_masks_unless_weights_are_asked_for(matrix):
    """The original chose features by masks and clustered raw weights."""
    scaled = matrix * np.random.default_rng(1).uniform(0.1, 10, (1, 80)).astype(np.float32)
    labels = [multi_seed(m, 1, 40, (4,))[0].labels for m in (matrix, scaled)]
    np.testing.assert_array_equal(*labels)
    weighted = [multi_seed(m, 1, 40, (4,), on="weights")[0].inertia for m in (matrix, scaled)]
    assert weighted[0] != weighted[1]


def test_the_published_tree_of_files(matrix, tmp_path):
    runs = multi_seed(matrix, 1, 40, (2, 3), null_draws=1)
    paths = {str(p.relative_to(tmp_path)) for p in write_experiment(runs, tmp_path, "mlp.down_proj")}
    feature = runs[0].feature
    pictures = {f"seed_0/k_{k}/seed0_k{k}_feat{feature}_{name}.png" for k in (2, 3)
                for name in ("spy_plot", "statistics", "tsne", "distance_heatmap")}  # fmt: skip
    summary = {"summary/summary_separation_ratios.png", "summary/summary_distances.png",
               "summary/metrics_summary.json", "summary/corrected_summary.json"}  # fmt: skip
    assert paths == pictures | summary
    assert all((tmp_path / p).stat().st_size > 500 for p in paths)


def test_few_features_have_no_embedding(matrix, tmp_path):
    runs = multi_seed(matrix, 1, 12, (2,))
    assert not any("tsne" in p.name for p in write_experiment(runs, tmp_path, "x"))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda m: multi_seed(m, 1, 81, (2,)), "choose 2 to"), (lambda m: multi_seed(m, 0, 10, (2,)), "at least one"),
        (lambda m: multi_seed(m, 1, 10, ()), "at least one"), (lambda m: multi_seed(m, 1, 10, (11,)), "1 to 10"),
        (lambda m: multi_seed(m, 1, 10, (2,), on="bits"), "mask or weights"), (lambda m: analyze(m, 80), "others"),
        (lambda m: analyze(m, 99, 10), "0 to 79"), (lambda m: analyze(m, 0, 10, 12), "1 to 11"),
        (lambda m: analyze(np.zeros_like(m), 0, 5), "every weight is zero"), (lambda m: repeat(m, 0), "at least one"),
        (lambda m: analyze(np.ones_like(m), 0, 5), "was it pruned"),
    ],
)  # fmt: skip
def test_requests_that_cannot_be_met_are_told(matrix, call, told):
    with pytest.raises(BadInput, match=told):
        call(matrix)


def test_words_follow_the_documents():
    assert [separation(r) for r in (2.1, 2.0, 1.0, 0.6, 0.5)] == ["excellent", "good", "moderate", "moderate", "poor"]
    assert [balance(b) for b in (9, 10, 20)] == ["well-balanced", "moderately balanced", "imbalanced"]
    assert [stability(c) for c in (29, 30, 50)] == ["stable", "moderate", "unstable"]


def test_results_are_compared(matrix, tmp_path):
    summary, _ = repeat(matrix, 2, 20, 4)
    for name in ("wanda_down_proj", "sparsegpt_down_proj", "wanda_v_proj"):
        write_json(tmp_path / f"{name}.json", {"matrix_shape": [96, 80], **summary})
    (tmp_path / "other.json").write_text('{"a": 1}')
    table = comparison(load_results(tmp_path))
    assert table["matrix"].tolist() == ["sparsegpt_down_proj", "wanda_down_proj", "wanda_v_proj"]
    assert table["shape"].tolist() == ["96x80"] * 3
    assert table["corrected_ratio"].notna().all()
    lines = insights(table)
    assert any("method sparsegpt" in line and line.endswith("similar") for line in lines)
    assert any(line.startswith("projection down_proj") and "v_proj" in line for line in lines)


def test_a_projection_that_is_not_down_is_not_taken_for_up():
    """The original had two cases: 'down_proj' in the name, else up; and 'wanda' in the name, else SparseGPT."""
    import pandas as pd

    table = pd.DataFrame(
        {"matrix": ["q_proj", "o_proj"], "ratio": [1.0, 2.0], "separation": "good", "sizes": "-", "stability": "-"}
    )
    lines = insights(table)
    assert not any("up_proj" in line or "sparsegpt" in line for line in lines)
    assert "projection o_proj (2.00) and q_proj (1.00): o_proj separates better" in lines


def test_empty_folders_and_broken_results_are_told(tmp_path):
    with pytest.raises(NotFound, match="masks repeat"):
        load_results(tmp_path)
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(BadInput, match=r"x\.json"):
        load_results(tmp_path)
