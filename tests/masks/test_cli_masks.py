import json

import numpy as np
import pytest
from typer.testing import CliRunner

from heritage.cli.masks import app
from heritage.errors import BadInput, HeritageError, UnsafeName


@pytest.fixture
def matrix(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "layer1-mlp.down_proj.npy", np.where(rng.random((64, 60)) < 0.5, rng.normal(0, 1, (64, 60)), 0))
    return tmp_path / "layer1-mlp.down_proj.npy"


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)
    if isinstance(result.exception, HeritageError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_analyze_shows_ranks_and_both_kinds_of_numbers(matrix):
    told = run("analyze", matrix, "--feature-idx", 3, "--n-features", 10, "--n-clusters", 3)
    assert told.startswith("feature 3: 10 most similar")
    assert "published: within" in told
    assert "corrected: within" in told
    found = json.loads(run("analyze", matrix, "--n-features", 10, "--n-clusters", 3, "--json"))
    assert [r["rank"] for r in found["similar"]] == list(range(1, 11))


def test_repeat_and_compare_have_the_published_keys(matrix, tmp_path):
    run(
        "repeat",
        matrix,
        "--n-executions",
        2,
        "--n-features",
        10,
        "--n-clusters",
        3,
        "--output-json",
        tmp_path / "r" / "wanda_up_proj.json",
    )
    content = json.loads((tmp_path / "r" / "wanda_up_proj.json").read_text())
    assert list(content)[:8] == [
        "matrix_path", "matrix_name", "matrix_shape", "n_executions", "n_features", "n_clusters", "aggregated_metrics",
        "individual_metrics",
    ]  # fmt: skip
    assert content["matrix_name"] == "layer1-mlp.down_proj"
    assert content["matrix_shape"] == [64, 60]
    assert "wanda_up_proj" in run("compare", "--results-dir", tmp_path / "r")


def test_experiment_takes_cluster_numbers_one_after_the_other(matrix, tmp_path):
    arguments = ["experiment", "--method", "wanda", "--component", "mlp.down_proj", "--seeds", 1, "--n-similar", 12,
                 "--matrix", matrix, "--output-dir", tmp_path / "o", "--k-values", 2, 3]  # fmt: skip
    told = run(*arguments)
    assert "k_2" in told
    assert "k_3" in told
    assert (tmp_path / "o" / "summary" / "metrics_summary.json").is_file()
    with pytest.raises(BadInput, match="cluster numbers"):
        run(*arguments, "four")


def test_unknown_methods_are_told():
    with pytest.raises(BadInput, match="not known"):
        run("experiment", "--method", "dropout", "--component", "mlp.down_proj")


def test_components_are_names_and_no_paths(matrix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafeName, match="component"):
        run("experiment", "--method", "wanda", "--component", "../../x", "--matrix", matrix)


def test_clusters_of_one_feature_each_are_drawn_without_a_mean(matrix, tmp_path):
    run("experiment", "--method", "wanda", "--component", "x", "--seeds", 1, "--n-similar", 2,
        "--matrix", matrix, "--output-dir", tmp_path / "o", "--k-values", 2)  # fmt: skip
    assert (tmp_path / "o" / "summary" / "summary_distances.png").is_file()


@pytest.mark.slow
def test_experiment_runs_end_to_end_on_our_own_pruned_network(tmp_path):
    run("experiment", "--method", "sparsegpt", "--layer", 0, "--component", "self_attn.q_proj", "--seeds", 1,
        "--k-values", 4, "--output-dir", tmp_path)  # fmt: skip
    assert len(list((tmp_path / "seed_0" / "k_4").glob("*.png"))) == 4
