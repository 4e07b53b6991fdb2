import json

import numpy as np
import pandas as pd
import pytest

from heritage.configs.edges import edges_of
from heritage.configs.study import months, plain, write
from heritage.configs.suite import NAMES, Fleet, no_edges, run, run_all
from heritage.configs.table import table_of
from heritage.errors import NotFound

# tables and figures of the published suite, by study
PUBLISHED = {
    "contributors": ({"summary_stats"}, {"top_contributors", "feature_adoption", "model_families",
                     "size_context_distribution", "feature_adoption_by_org", "model_types"}),
    "parameters": (set(), {"hidden_size_dist", "num_layers_dist", "vocab_size_dist", "context_length_dist",
                   "attention_heads_dist", "rope_theta_dist", "parameter_correlations", "scaling_relationships",
                   "head_dim_gqa", "parameter_dashboard"}),
    "families": ({"family_summary"}, set()), "moe": ({"moe_summary"}, set()),
    "similarity": ({"config_similarity_summary", "config_similarity_embedding"},
                   {"similarity_graph", "similarity_metrics_comparison", "config_similarity_embedding"}),
    "drift": ({"config_drift_pairs", "config_mutation_rates"}, {"config_drift_analysis", "mutational_landscape"}),
    "subgraphs": ({"subgraph_similarity_stats", "config_drift_by_depth"}, set()),
    "behaviour": ({"config_behavioral_drift", "config_feature_importance_elo", "ecosystem_behavioral_fitness"}, set()),
}  # fmt: skip
COUNTS = {"families": 11, "moe": 8, "attention": 7, "adoption": 6, "fitness": 5, "subgraphs": 2, "behaviour": 4}


@pytest.fixture(scope="session")
def scores(fleet_table):
    width = np.log2(fleet_table.column("config_hidden_size").fillna(1024))
    noise = np.random.default_rng(3).normal(0, 0.3, len(fleet_table))
    return pd.DataFrame({"model": fleet_table.frame["modelId"], "arena_score": 1000 + 50 * (width + noise)})


@pytest.fixture(scope="session")
def fleet(fleet_table, fleet_edges, scores):
    return Fleet(fleet_table, fleet_edges, scores)


@pytest.mark.parametrize("name", NAMES)
def test_a_study_has_the_published_tables_and_figures(fleet, name):
    study = run(name, fleet)
    tables, figures = PUBLISHED.get(name, (set(), set()))
    assert tables <= set(study.tables)
    assert figures <= set(study.figures)
    assert len(study.figures) >= COUNTS.get(name, 1)
    json.dumps(plain(study.summary), allow_nan=False)


@pytest.mark.parametrize("name", ["drift", "lineage", "subgraphs"])
def test_written_studies_hold_readable_pictures(fleet, name, tmp_path):
    from matplotlib.image import imread

    study = run(name, fleet)
    paths = write(study, tmp_path)
    assert {p.name for p in paths} == {*(f"{t}.csv" for t in study.tables), *(f"{f}.png" for f in study.figures),
                                      f"{name}.json"}  # fmt: skip
    for picture in (p for p in paths if p.suffix == ".png"):
        assert picture.parent.name == "figures"
        assert 0.2 < imread(picture)[..., :3].mean() < 0.999
    assert json.loads((tmp_path / f"{name}.json").read_text())["study"] == name


def test_the_whole_suite_gives_one_page(fleet, tmp_path):
    run_all(fleet, tmp_path, ["contributors", "lineage"])
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64") == 7
    assert "<script" not in page
    assert (tmp_path / "quarantine.csv").read_text().startswith("modelId,column,value,rule,action")


def test_names_from_outside_are_escaped_in_the_page(tmp_path):
    evil = '<img src=x onerror="alert(1)">'
    table = table_of(
        pd.DataFrame({"modelId": ["a/b", "a/c"], "config_model_type": [evil, "$x_{"], "config_hidden_size": [1, "<b>"]})
    )
    run_all(Fleet(table, no_edges()), tmp_path, ["contributors"])
    page = (tmp_path / "report.html").read_text()
    assert evil not in page
    assert "&lt;img" in page


BARE = {
    "one model": {"modelId": ["a/a"], "config_hidden_size": [64]},
    "two models": {"modelId": ["a/a", "a/b"], "config_hidden_size": [64, 64], "createdAt": ["2024-01-01", "never"]},
    "types only": {"modelId": ["a/a", "a/b", "a/c"], "config_model_type": ["llama", "bert", None]},
}


SLOWER = [pytest.param(rows, marks=() if case == "one model" else pytest.mark.slow) for case, rows in BARE.items()]


@pytest.mark.parametrize("rows", BARE.values(), ids=BARE)
@pytest.mark.parametrize("name", NAMES)
def test_bare_tables_give_a_summary_that_is_json(rows, name):
    edges = edges_of(pd.DataFrame({"parent_id": ["a/a", "a/x"], "child_id": ["a/b", "a/a"]}))
    json.dumps(plain(run(name, Fleet(table_of(pd.DataFrame(rows)), edges)).summary), allow_nan=False)


@pytest.mark.parametrize("rows", SLOWER, ids=BARE)
@pytest.mark.parametrize("name", NAMES)
def test_bare_tables_give_a_study_that_can_be_written(rows, name, tmp_path):
    table = table_of(pd.DataFrame(rows))
    edges = edges_of(pd.DataFrame({"parent_id": ["a/a", "a/x"], "child_id": ["a/b", "a/a"]}))
    write(run(name, Fleet(table, edges)), tmp_path)
    assert json.loads((tmp_path / f"{name}.json").read_text())["study"] == name


def test_unknown_studies_are_refused_with_the_list(fleet):
    with pytest.raises(NotFound, match="contributors"):
        run("astrology", fleet)


def test_months_count_from_1970_and_bad_dates_are_unknown():
    raw = {
        "modelId": ["a/a", "a/b", "a/c", "a/d"],
        "createdAt": ["2024-03-05T01:02:03.000Z", "2024-03-31", "soon", "1970-01-01"],
    }
    found = months(table_of(pd.DataFrame(raw)))
    assert found[:2].tolist() == [54 * 12 + 2] * 2
    assert found[2:].isna().all()


def test_summary_statistics_count_what_is_known(fleet_table):
    from heritage.configs.contributors import feature_adoption, summary_stats

    stats = summary_stats(fleet_table)
    assert stats["metric"].tolist() == [
        "total_models", "unique_orgs", "unique_model_types", "moe_count", "gqa_count", "rope_count",
        "median_hidden_size", "median_layers", "median_vocab_size",
    ]  # fmt: skip
    adoption = feature_adoption(fleet_table).set_index("feature")
    assert adoption.loc["uses_moe", "n_known"] + adoption.loc["uses_moe", "n_unknown"] == len(fleet_table)
    assert adoption.loc["uses_moe", "share"] == pytest.approx(fleet_table.frame["uses_moe"].mean())


def test_family_and_moe_tables_have_the_published_columns(fleet_table):
    from heritage.configs.families import family_summary
    from heritage.configs.moe import moe_summary

    assert list(family_summary(fleet_table)) == [
        "Family", "Count", "Median Hidden", "Median Layers", "Median Context", "MoE %", "GQA %", "RoPE %",
    ]  # fmt: skip
    assert moe_summary(fleet_table)["metric"].tolist() == [
        "total_moe", "adoption_rate", "most_common_experts", "most_common_per_tok",
    ]  # fmt: skip


def test_artefact_ratios_of_shifted_columns_do_not_appear():
    """The original reported ratios such as 157.96."""
    from heritage.configs.attention import gqa_ratios

    raw = pd.DataFrame({"modelId": ["a/a", "a/b"], "config_num_attention_heads": [32, 131072],
                        "config_num_key_value_heads": [8, 830], "config_gqa_ratio": [4, 157.96]})  # fmt: skip
    assert gqa_ratios(table_of(raw))["heads_per_kv_head"].tolist() == [4.0]


def test_the_quick_summary_fits_one_screen(fleet_table):
    from heritage.configs.summary import quick_summary

    text = quick_summary(fleet_table)
    assert "240 models of 9 organisations, 4 model types" in text
    assert len(text.splitlines()) < 80


def test_neighbours_keep_twins_and_never_the_model_itself(fleet_table):
    from heritage.configs.gower import encode
    from heritage.configs.similarity import neighbours

    twin = fleet_table.take(np.array([0, 1, 2, 0]))
    twin.frame.loc[3, "modelId"] = "twin/of-zero"
    first = neighbours(twin, encode(twin), 1).set_index("modelId")
    assert first.loc["twin/of-zero", "neighbor_id"] == fleet_table.frame["modelId"][0]
    assert first.loc["twin/of-zero", "distance"] == 0
