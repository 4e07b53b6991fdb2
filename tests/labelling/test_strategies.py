"""Query strategies: distinct rows, the right ones, deterministic under a seed; brute force as oracle."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.spatial.distance import cdist, jensenshannon
from scipy.stats import entropy as scipy_entropy

from heritage.errors import BadInput
from heritage.labelling.committee import jensen_shannon, vote_entropy
from heritage.labelling.diversity import badge_distances, k_center, kmeans_plus_plus, squared_distances
from heritage.labelling.pool import Pool
from heritage.labelling.strategies import NAMES, select
from heritage.labelling.uncertainty import entropy, least_confidence, margin


def make_pool(rows: int = 60, classes: int = 4, seed: int = 0) -> Pool:
    random = np.random.default_rng(seed)
    committee = random.dirichlet(np.ones(classes), size=(3, rows))
    return Pool(committee[0], random.normal(size=(rows, 5)), committee, random.normal(size=(3, 5)))


@pytest.mark.parametrize("strategy", NAMES)
@given(rows=st.integers(1, 40), budget=st.integers(1, 50), seed=st.integers(0, 3))
def test_every_strategy_gives_distinct_rows_and_the_same_again(strategy, rows, budget, seed):
    pool = make_pool(rows, seed=seed)
    found = select(strategy, pool, budget, np.random.default_rng(seed))
    again = select(strategy, pool, budget, np.random.default_rng(seed))
    assert len(set(found.index.tolist())) == len(found.index) == len(found.pick) == min(rows, budget)
    assert found.index.min() >= 0
    assert found.index.max() < rows
    assert np.array_equal(found.index, again.index)


@pytest.mark.parametrize("strategy", NAMES)
def test_equal_rows_are_no_trouble(strategy):
    same = np.full((20, 4), 0.25)
    pool = Pool(same, np.zeros((20, 5)), np.stack([same, same]))
    assert len(set(select(strategy, pool, 10, np.random.default_rng(0)).index.tolist())) == 10


def test_mixed_is_half_random_half_diverse_and_only_the_random_half_says_so():
    found = select("mixed", make_pool(), 15, np.random.default_rng(0))
    assert found.pick.count("random") == 8
    assert found.pick.count("margin-diverse") == 7


def test_mixed_without_features_falls_back_to_margin():
    found = select("mixed", Pool(make_pool().probabilities), 10, np.random.default_rng(0))
    assert found.pick.count("margin") == 5


def test_the_random_half_is_drawn_evenly():
    pool = make_pool(20)
    counts = np.zeros(20)
    for seed in range(400):
        found = select("mixed", pool, 8, np.random.default_rng(seed))
        counts[found.index[np.array(found.pick) == "random"]] += 1
    assert abs(counts - 80).max() < 5 * np.sqrt(80 * 0.8)


def test_uncertainty_agrees_with_scipy():
    p = make_pool().probabilities
    assert entropy(p) == pytest.approx(scipy_entropy(p, axis=1))
    top = np.sort(p, axis=1)
    assert margin(p) == pytest.approx(top[:, -2] - top[:, -1])
    assert least_confidence(p) == pytest.approx(1 - top[:, -1])
    assert entropy(np.array([[1.0, 0.0]])) == pytest.approx([0.0])


def test_committee_scores_agree_with_scipy():
    committee = make_pool().committee[:2]
    expected = [jensenshannon(a, b) ** 2 for a, b in zip(*committee, strict=True)]
    assert jensen_shannon(committee) == pytest.approx(expected)
    votes = np.stack([np.bincount(v, minlength=4) for v in committee.argmax(axis=2).T])
    assert vote_entropy(committee) == pytest.approx(scipy_entropy(votes, axis=1))


def test_distances_agree_with_brute_force():
    pool = make_pool()
    x = pool.features
    assert np.stack([squared_distances(x)(i) for i in range(60)]) == pytest.approx(cdist(x, x) ** 2, abs=1e-9)
    residual = pool.probabilities - np.eye(4)[pool.probabilities.argmax(axis=1)]
    gradients = (residual[:, :, None] * x[:, None, :]).reshape(60, -1)
    factored = np.stack([badge_distances(pool.probabilities, x)(i) for i in range(60)])
    assert factored == pytest.approx(cdist(gradients, gradients) ** 2, abs=1e-9)


def test_k_center_is_within_twice_the_best_cover():
    x = np.array([[0.0], [1], [2], [10], [11], [12], [30], [31]])
    chosen = k_center(x, 3, None, np.random.default_rng(0))
    radius = cdist(x, x[chosen]).min(axis=1).max()
    assert radius <= 2 * 1.0
    assert 6 not in k_center(x, 2, x[6:7], np.random.default_rng(0))


def test_k_means_plus_plus_spreads_over_clusters():
    random = np.random.default_rng(0)
    x = np.concatenate([random.normal(c, 0.01, (20, 2)) for c in (0, 10, 20, 30)])
    hits = [
        len({i // 20 for i in kmeans_plus_plus(squared_distances(x), 80, 4, np.random.default_rng(s), 0).tolist()})
        for s in range(20)
    ]
    assert np.mean(hits) > 3.9


@pytest.mark.parametrize(
    ("strategy", "pool", "message"),
    [
        ("guess", make_pool(), "unknown; known: mixed, random"),
        ("badge", Pool(make_pool().probabilities), "needs penultimate features"),
        ("vote-entropy", Pool(make_pool().probabilities), "at least 2 relatives"),
    ],
)
def test_what_a_strategy_lacks_is_told(strategy, pool, message):
    with pytest.raises(BadInput, match=message):
        select(strategy, pool, 5, np.random.default_rng(0))


def test_a_budget_of_nothing_and_broken_probabilities_are_refused():
    with pytest.raises(BadInput, match="at least 1 label"):
        select("random", make_pool(), 0, np.random.default_rng(0))
    with pytest.raises(BadInput, match="NaN outputs"):
        Pool(np.full((3, 2), np.nan))
    with pytest.raises(BadInput, match="do not fit 3 rows"):
        Pool(np.full((3, 2), 0.5), np.zeros((4, 2)))
    with pytest.raises(BadInput, match="does not fit"):
        Pool(np.full((3, 2), 0.5), committee=np.zeros((2, 3, 5)))
