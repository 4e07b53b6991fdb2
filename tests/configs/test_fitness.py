import networkx as nx
import numpy as np
import pandas as pd
import pytest

from heritage.configs.edges import edges_of
from heritage.configs.fitness import descendants, fitness
from heritage.configs.regression import fit_counts
from heritage.configs.table import table_of
from heritage.errors import BadInput


def test_descendants_agree_with_networkx(fleet_table, fleet_edges):
    found = descendants(fleet_table, fleet_edges).set_index("modelId")
    graph = fleet_edges.graph()
    for model in list(graph)[:60]:
        assert found.loc[model, "descendants"] == len(nx.descendants(graph, model))
        assert found.loc[model, "children"] == graph.out_degree(model)


def test_cycles_do_not_hang():
    table = table_of(pd.DataFrame({"modelId": ["a", "b"], "config_hidden_size": [1, 2]}))
    edges = edges_of(pd.DataFrame({"parent_id": ["a", "b"], "child_id": ["b", "a"]}))
    assert descendants(table, edges)["descendants"].tolist() == [1, 1]


def counts(n=4000, seed=0):
    rng = np.random.default_rng(seed)
    x = pd.DataFrame({"size": rng.normal(0, 1, n), "moe": rng.integers(0, 2, n).astype(float)})
    # mixtures are young: without age their rate would seem low
    age = pd.Series(rng.integers(1, 30, n) / (1 + 3 * x["moe"]))
    mean = 0.1 * age * np.exp(0.5 * x["size"] + np.log(2.0) * x["moe"])
    return pd.Series(rng.negative_binomial(1.0, 1 / (1 + mean)).astype(float)), x, age


def test_planted_rate_ratios_are_found_given_age():
    found = fit_counts(*counts())
    frame = found.frame.set_index("term")
    for term, planted in (("size", np.exp(0.5)), ("moe", 2.0)):
        assert frame.loc[term, "low"] < planted < frame.loc[term, "high"]
    assert found.summary["aic_negative_binomial"] < found.summary["aic_poisson"]
    assert found.summary["dispersion_poisson"] > 1.5


def test_terms_that_cannot_be_told_apart_are_refused():
    y, x, age = counts(200)
    with pytest.raises(BadInput, match="too alike"):
        fit_counts(y, x.assign(copy=x["size"] + 1e-6 * x["moe"]), age)
    with pytest.raises(BadInput, match="do not vary"):
        fit_counts(y, x.assign(same=1.0), age)


def test_too_few_rows_and_childless_fleets_are_told():
    y, x, age = counts(200)
    with pytest.raises(BadInput, match="20 complete rows"):
        fit_counts(y[:20], x[:20], age[:20])
    with pytest.raises(BadInput, match="descendant"):
        fit_counts(y * 0, x, age)
    two = y.where(y.index < 2, 0.0).where(y.index >= 2, 1.0)  # such ratios came out in thousands of millions
    with pytest.raises(BadInput, match="2 models of the complete rows have a descendant"):
        fit_counts(two, x, age)


def test_missing_is_not_zero(fleet_table, fleet_edges):
    """The original filled gaps with 0, so 'unknown context' was the shortest context."""
    study = fitness(fleet_table, fleet_edges)
    groups = study.tables["fitness_groups"]
    context = groups[groups["grouping"] == "context"]
    assert context["models"].sum() == fleet_table.column("config_max_position_embeddings").notna().sum()
    assert any("complete rows" in note or "left out" in note for note in study.notes)
