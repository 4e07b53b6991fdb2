import networkx as nx
import numpy as np
import pandas as pd
import pytest

from heritage.configs.drift import PAIR_COLUMNS, drift_by, drift_edges, profile, summary
from heritage.configs.edges import edges_of
from heritage.configs.gower import Gower, encode, matrix
from heritage.configs.mutations import RATE_COLUMNS, hot_spots, mutation_rates, mutation_states
from heritage.configs.paths import PATH_COLUMNS, by_depth, drift_by_depth, roots
from heritage.configs.table import table_of

ROWS = pd.DataFrame({
    "modelId": ["a/p", "a/c", "a/d", "a/e"],
    "config_model_type": ["llama", "llama", "bert", None],
    "config_hidden_size": ["4096", "4096.0", "2048", None],
    "config_num_hidden_layers": [32, 32, None, None],
    "config_rope_theta": [None, 10000, None, None],
    "uses_moe": ["True", "False", "False", None],
})  # fmt: skip
EDGES = pd.DataFrame({"parent_id": ["a/p", "a/p", "a/c", "a/p"], "child_id": ["a/c", "a/d", "a/e", "a/x"],
                      "relation": ["finetune", "merge", "finetune", "finetune"]})  # fmt: skip


@pytest.fixture
def fleet():
    return table_of(ROWS), edges_of(EDGES)


def test_drift_has_the_published_columns_and_the_distances_of_the_matrix(fleet):
    table, edges = fleet
    found = drift_edges(table, edges)
    assert list(found.columns[:7]) == PAIR_COLUMNS == [
        "parent_id", "child_id", "drift", "similarity", "parent_family", "child_family", "same_family",
    ]  # fmt: skip
    distances = matrix(encode(table))
    place = table.positions
    expected = [distances[place[p], place[c]] for p, c in zip(found["parent_id"], found["child_id"], strict=True)]
    np.testing.assert_allclose(found["drift"], expected, atol=1e-6)
    np.testing.assert_allclose(found["similarity"], 1 - found["drift"])


def test_families_are_known_so_within_and_between_can_be_told_apart(fleet):
    """The original read a column its csv does not have: same_family was false for every edge."""
    found = drift_edges(*fleet).set_index("child_id")
    assert found.loc["a/c", "same_family"]
    assert not found.loc["a/d", "same_family"]
    assert found.loc["a/e", "child_family"] == "Unknown"
    assert not found.loc["a/e", "same_family"]


def test_relation_is_kept_and_pairs_without_shared_fields_are_told(fleet):
    found = drift_edges(*fleet).set_index("child_id")
    assert found["relation"].to_dict() == {"a/c": "finetune", "a/d": "merge", "a/e": "finetune"}
    assert found.loc["a/e", "comparable"] == 0
    told = summary(drift_edges(*fleet), 1, np.random.default_rng(0))
    assert told["edges_sharing_no_field"] == 1
    assert told["mean_drift"] == pytest.approx(found.loc[["a/c", "a/d"], "drift"].mean())


def test_mutations_tell_changed_appeared_vanished_and_unknown_apart(fleet):
    states = mutation_states(*fleet).set_index("feature")
    assert states.loc["config_hidden_size", ["n_changed", "n_unchanged", "n_vanished"]].tolist() == [1, 1, 1]
    layers = states.loc["config_num_hidden_layers", ["n_changed", "n_unchanged", "n_vanished"]]
    assert layers.tolist() == [0, 1, 2]
    assert states.loc["config_rope_theta", ["n_appeared", "n_vanished", "n_unknown"]].tolist() == [1, 1, 1]
    assert states[[c for c in states if c.startswith("n_")]].sum(axis=1).eq(3).all()


def test_the_published_mutation_table(fleet):
    rates = mutation_rates(*fleet)
    assert list(rates.columns) == RATE_COLUMNS == [
        "feature", "mutation_rate", "n_changed", "n_unchanged", "n_missing", "total_pairs", "feature_type",
    ]  # fmt: skip
    assert rates["mutation_rate"].is_monotonic_decreasing
    moe = rates.set_index("feature").loc["uses_moe"]
    assert moe.tolist() == [1.0, 2, 0, 1, 2, "Boolean"]
    assert "config_rope_theta" not in set(rates["feature"])


def test_a_field_that_the_word_false_hides_is_seen_by_distance_and_by_mutations(fleet):
    """In the original the two disagreed about such fields."""
    found = drift_edges(*fleet, features=["uses_moe"]).set_index("child_id")
    assert found.loc["a/c", "drift"] == 1.0


def test_double_and_self_edges_count_once_and_not_at_all():
    twice = pd.concat([EDGES, EDGES, pd.DataFrame({"parent_id": ["a/p"], "child_id": ["a/p"]})])
    assert len(drift_edges(table_of(ROWS), edges_of(twice))) == 3


def many(n_trees=12, seed=0):
    """Trees of a root and eight children; in every other tree most children are wider than the root."""
    rng = np.random.default_rng(seed)
    rows, edges = [], []
    for t in range(n_trees):
        drifts = t % 2 == 1
        kind, relation = ("llama", "lora") if drifts else ("bert", "finetune")
        rows.append((f"o/r{t}", 1024, kind))
        for c in range(8):
            wider = rng.random() < (0.8 if drifts else 0.05)
            rows.append((f"o/r{t}c{c}", 2048 if wider else 1024, kind))
            edges.append((f"o/r{t}", f"o/r{t}c{c}", relation))
    table = table_of(pd.DataFrame(rows, columns=["modelId", "config_hidden_size", "config_model_type"]))
    return table, edges_of(pd.DataFrame(edges, columns=["parent_id", "child_id", "relation"]))


def test_drift_by_relation_finds_the_one_that_drifts():
    table, edges = many()
    found = drift_by(drift_edges(table, edges), "relation", np.random.default_rng(0)).set_index("relation")
    assert found.loc["lora", "mean"] > found.loc["finetune", "high"]
    assert found.loc["lora", "cliff"] > 0.3
    assert (found["q_value"] < 0.01).all()
    assert (found["n_trees"] == 6).all()


def test_hot_spots_name_field_and_family():
    table, edges = many()
    top = hot_spots(table, edges, "family").iloc[0]
    assert (top["family"], top["feature"]) in {("LLaMA", "config_hidden_size"), ("BERT", "config_hidden_size")}
    assert top["q_value"] < 0.01


def test_family_profiles_add_up_to_the_mean_drift():
    table, edges = many()
    drift = drift_edges(table, edges)
    parts = profile(table, drift, encode(table))
    expected = drift.groupby("parent_family")["drift"].mean()
    np.testing.assert_allclose(parts.sum(axis=1).loc[expected.index], expected)


CHAIN = pd.DataFrame({"modelId": ["a", "b", "c"], "config_hidden_size": [1024, 2048, 1024],
                      "config_vocab_size": [10, 10, 10], "config_model_type": ["x", "x", "x"]})  # fmt: skip


def test_path_drift_is_the_sum_of_steps_and_root_drift_the_distance():
    """The original called the distance to the root cumulative."""
    table, edges = table_of(CHAIN), edges_of(pd.DataFrame({"parent_id": ["a", "b"], "child_id": ["b", "c"]}))
    found = drift_by_depth(table, edges, encode(table))
    assert list(found.columns[:5]) == PATH_COLUMNS
    last = found.set_index("node_id").loc["c"]
    assert last["depth"] == 2
    assert last["root_drift"] == 0.0
    assert last["cumulative_drift"] == pytest.approx(2 * found.set_index("node_id").loc["b", "cumulative_drift"])


def test_depth_counts_models_without_configuration_too():
    """The original counted only nodes with a configuration as steps."""
    table = table_of(CHAIN[CHAIN["modelId"] != "b"])
    edges = edges_of(pd.DataFrame({"parent_id": ["a", "b"], "child_id": ["b", "c"]}))
    row = drift_by_depth(table, edges, encode(table)).iloc[0]
    assert (row["node_id"], row["depth"], row["steps_known"]) == ("c", 2, 0)
    assert np.isnan(row["cumulative_drift"])


def test_cycles_end_and_roots_come_largest_first():
    raw = pd.DataFrame({"parent_id": ["a", "b", "c", "z", "y", "y"], "child_id": ["b", "c", "b", "a", "q", "r"]})
    edges = edges_of(raw)
    assert roots(edges.graph()) == ["z", "y"]
    table = table_of(CHAIN)
    found = drift_by_depth(table, edges, encode(table), ["a"])
    assert found["node_id"].tolist() == ["b", "c"]


def test_depth_table_has_counts():
    table, edges = many()
    found = by_depth(drift_by_depth(table, edges, encode(table)), np.random.default_rng(0))
    assert found[["depth", "n", "n_trees"]].to_numpy().tolist() == [[1, 96, 12]]
    assert nx.is_forest(edges.graph())


def test_range_mode_differs_from_seed_mode():
    table, edges = many()
    seed = drift_edges(table, edges)["drift"].mean()
    classic = drift_edges(table, edges, Gower("range"))["drift"].mean()
    assert classic == pytest.approx(2 * seed)


def test_no_edge_inside_the_table_gives_empty_tables_not_errors():
    table = table_of(ROWS)
    edges = edges_of(pd.DataFrame({"parent_id": ["q"], "child_id": ["r"]}))
    assert list(drift_edges(table, edges)) == [*PAIR_COLUMNS, "relation", "comparable"]
    assert len(mutation_rates(table, edges)) == 0
