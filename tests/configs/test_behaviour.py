import numpy as np
import pandas as pd
import pytest

from heritage.configs.behaviour import behavioural_drift, correlate, match_scores, normal_name
from heritage.configs.edges import edges_of
from heritage.configs.prediction import agreement, predict
from heritage.configs.table import table_of
from heritage.errors import BadInput

TABLE = pd.DataFrame({"modelId": ["meta/Llama-3.1-8B-Instruct", "x/tiny", "y/Tiny", "z/other"],
                      "config_hidden_size": [4096, 64, 64, 128]})  # fmt: skip


def test_names_are_matched_by_id_then_by_name_and_ambiguous_ones_are_left_out():
    listed = pd.DataFrame(
        {"model": ["z/other", "llama-3.1-8b-instruct", "TINY", "nobody"], "arena_score": [1, 2, 3, 4]}
    )
    matched = match_scores(table_of(TABLE), listed)
    np.testing.assert_array_equal(matched.scores, [2, np.nan, np.nan, 1])
    assert (matched.exact, matched.by_name, matched.ambiguous, matched.unmatched) == (1, 1, 1, 1)


def test_several_scores_of_a_model_are_averaged():
    listed = pd.DataFrame({"name": ["x/tiny", "x/tiny"], "score": [1, 3]})
    assert match_scores(table_of(TABLE), listed).scores[1] == 2


def test_names_are_normalised():
    assert normal_name("meta-llama/Llama-3.1-8B_Instruct") == "llama318binstruct"


@pytest.mark.parametrize("columns", [["a", "score"], ["model", "b"]])
def test_missing_columns_are_told(columns):
    with pytest.raises(BadInput, match="score list has no column"):
        match_scores(table_of(TABLE), pd.DataFrame([[1, 2]], columns=columns))


def test_change_in_score_is_child_minus_parent():
    edges = edges_of(pd.DataFrame({"parent_id": ["x/tiny"], "child_id": ["z/other"]}))
    found = behavioural_drift(table_of(TABLE), pd.Series([np.nan, 10.0, np.nan, 13.0]), edges)
    assert found["delta_elo"].tolist() == [3.0]
    assert found["drift"].tolist() == [0.5]


def test_too_few_pairs_have_no_correlation():
    assert correlate(pd.DataFrame({"delta_elo": [1.0], "drift": [0.1]}))["pearson"] is None


def test_prediction_finds_the_field_that_matters_and_leaves_missing_missing(fleet_table):
    width = np.log2(fleet_table.frame["config_hidden_size"])
    scores = width + np.random.default_rng(0).normal(0, 0.05, len(width))
    found = predict(fleet_table, scores)
    assert found.importance["feature"].iloc[0] in {"config_hidden_size", "config_approx_params_billions"}
    forest = found.quality.set_index("model").loc["random forest"]
    assert forest["n"] == width.notna().sum()
    assert forest["cv_r2"] > 0.8


def test_noise_is_not_predicted(fleet_table):
    noise = pd.Series(np.random.default_rng(0).normal(0, 1, len(fleet_table)))
    assert predict(fleet_table, noise).quality["cv_r2"].max() < 0.15


def test_clusters_agree_with_scores_that_follow_them(fleet_table):
    scores = fleet_table.frame["config_hidden_size"] + np.random.default_rng(0).normal(0, 1, len(fleet_table))
    assert agreement(fleet_table, scores).summary["nmi"] > 0.05
