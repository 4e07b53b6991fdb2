import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heritage.configs.intervals import adjusted, cliff, tree_bootstrap, trees, wilson


@given(st.integers(0, 200), st.integers(1, 200))
def test_wilson_limits_hold_the_share_and_agree_with_statsmodels(k, n):
    from statsmodels.stats.proportion import proportion_confint

    k = min(k, n)
    low, high = (float(v) for v in wilson(k, n))
    assert 0 <= low <= k / n <= high <= 1
    expected = proportion_confint(k, n, method="wilson")
    assert (low, high) == pytest.approx(expected, abs=1e-9)


def test_no_trials_have_no_interval():
    assert np.isnan(wilson(0, 0)).all()


def test_benjamini_hochberg_agrees_with_scipy_and_skips_nan():
    from scipy.stats import false_discovery_control

    p = np.random.default_rng(0).random(50) ** 3
    np.testing.assert_allclose(adjusted(p), false_discovery_control(p))
    assert adjusted([0.01, np.nan, 0.04]).tolist() == [0.02, pytest.approx(np.nan, nan_ok=True), 0.04]


def test_trees_are_the_connected_parts():
    edges = pd.DataFrame({"parent_id": ["a", "b", "x"], "child_id": ["b", "c", "y"]})
    found = trees(edges)
    assert found[0] == found[1] != found[2]


def test_the_interval_over_trees_is_wider_than_one_over_edges():
    rng = np.random.default_rng(1)
    tree = np.repeat(np.arange(20), 50)
    values = rng.normal(0, 1, 20)[tree] + rng.normal(0, 0.1, 1000)
    by_tree, by_edge = tree_bootstrap(values, tree, rng), tree_bootstrap(values, np.arange(1000), rng)
    assert by_tree.value == pytest.approx(values.mean())
    assert by_tree.low < values.mean() < by_tree.high
    assert by_tree.high - by_tree.low > 3 * (by_edge.high - by_edge.low)


def test_one_tree_has_a_mean_and_no_interval():
    span = tree_bootstrap(np.array([1.0, 3.0, np.nan]), np.zeros(3, dtype=np.int64), np.random.default_rng(0))
    assert span.value == 2.0
    assert np.isnan(span.low)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_cliff_counts_pairs(a, b):
    expected = np.mean([(x > y) - (x < y) for x in a for y in b])
    assert cliff(np.array(a, dtype=float), np.array(b, dtype=float)) == pytest.approx(expected)
