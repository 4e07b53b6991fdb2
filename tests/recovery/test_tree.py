from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heritage.recovery import fitted
from heritage.recovery.confidence import direction_confidence
from heritage.recovery.cues import Cues
from heritage.recovery.edmonds import minimum_arborescence
from heritage.recovery.family import Proof
from heritage.recovery.methods import METRICS, TREE_METHODS
from heritage.recovery.rooted import below_bases, has_counted_more
from heritage.recovery.skeleton import bottlenecks
from heritage.recovery.tree import component, insert_merge, orient, root_scores, spanning_tree
from heritage.testing import relations as made

seeds = st.integers(0, 2**32 - 1)


def random_costs(seed, n):
    cost = np.random.default_rng(seed).uniform(0.1, 1.0, (n, n))
    cost = cost + cost.T
    np.fill_diagonal(cost, np.inf)
    return cost


@given(seeds, st.integers(2, 12))
def test_the_spanning_tree_costs_what_networkx_finds(seed, n):
    cost = random_costs(seed, n)
    graph = nx.Graph()
    graph.add_weighted_edges_from((i, j, cost[i, j]) for i in range(n) for j in range(i))
    expected = nx.minimum_spanning_tree(graph).size("weight")
    tree = spanning_tree(cost, [])
    assert len(tree) == n - 1
    assert np.isclose(sum(cost[e] for e in tree), expected)


def test_forced_edges_stay_and_excluded_nodes_are_left_out():
    cost = random_costs(1, 6)
    dearest = max((cost[i, j], i, j) for i in range(6) for j in range(i) if 5 not in (i, j))[1:]
    tree = spanning_tree(cost, [dearest], without=[5])
    assert (min(dearest), max(dearest)) in tree
    assert all(5 not in e for e in tree)


@settings(max_examples=60)
@given(seeds, st.integers(2, 9))
def test_the_arborescence_costs_what_networkx_finds(seed, n):
    cost = np.random.default_rng(seed).integers(1, 20, (n, n)).astype(float)
    np.fill_diagonal(cost, np.inf)
    graph = nx.DiGraph()
    graph.add_weighted_edges_from((i, j, cost[i, j]) for i in range(n) for j in range(n) if i != j)
    expected = nx.minimum_spanning_arborescence(graph).size("weight")
    parents = minimum_arborescence(cost)
    assert len(parents) == n - 1
    assert sum(cost[p, c] for c, p in parents.items()) == expected


@pytest.mark.slow
def test_the_arborescence_of_a_long_chain_of_circles_is_found():
    n = 1100
    cost = np.full((n, n), np.inf)
    forward, back = np.arange(n - 1), np.arange(1, n)
    cost[forward, back], cost[back, forward] = 1.0 + np.arange(n - 1), 0.5 + np.arange(n - 1)
    parents = minimum_arborescence(cost)
    assert parents == {i: i + 1 for i in range(n - 1)}


@given(seeds, st.integers(2, 10))
def test_root_scores_are_the_sums_that_orienting_gives(seed, n):
    rng = np.random.default_rng(seed)
    tree = sorted(spanning_tree(random_costs(seed, n), []))
    towards = {e: float(rng.normal()) for e in tree}
    scores = root_scores(tree, towards, list(range(n)))
    for root in range(n):
        direct = sum(towards.get((p, c), -towards.get((c, p), 0.0)) for c, p in orient(tree, root).items())
        assert np.isclose(scores[root], direct)


@given(seeds, st.integers(2, 9))
def test_bottlenecks_are_the_dearest_edges_of_paths(seed, n):
    cost = random_costs(seed, n)
    tree = spanning_tree(cost, [])
    found = bottlenecks(cost, tree)
    graph = nx.Graph(list(tree))
    for i in range(n):
        for j in range(i):
            path = nx.shortest_path(graph, i, j)
            assert found[i, j] == max(cost[a, b] for a, b in pairwise(path))


def planted_points(seed, n):
    """Points of a random tree with orthogonal unit steps of random length, and the tree."""
    rng = np.random.default_rng(seed)
    points, edges = np.zeros((n, n)), set()
    for i in range(1, n):
        parent = int(rng.integers(i))
        points[i] = points[parent]
        points[i, i] += rng.uniform(0.5, 2.0)
        edges.add((parent, i))
    return points, edges


def distances(points):
    cost = ((points[:, None] - points[None]) ** 2).sum(-1)
    np.fill_diagonal(cost, np.inf)
    return cost


@given(seeds, st.integers(2, 15))
def test_a_planted_tree_with_orthogonal_steps_is_found(seed, n):
    points, edges = planted_points(seed, n)
    assert spanning_tree(distances(points), []) == edges


@given(seeds, st.integers(4, 12))
def test_a_merge_is_no_short_cut(seed, n):
    points, edges = planted_points(seed, n)
    rng = np.random.default_rng(seed)
    a, b = (int(x) for x in rng.choice(n, 2, replace=False))
    points = np.vstack([points, (points[a] + points[b]) / 2])
    cost = distances(points)
    core = spanning_tree(cost, [], without=[n])
    tree = insert_merge(core, cost, Proof("merge", (a, b), n, 30.0, "linear"), set())
    assert tree - {(a, n)} == edges
    assert component(tree, 0) == set(range(n + 1))


def test_direction_confidence_is_the_chance_of_roots_on_the_parents_side():
    tree = [(0, 1), (1, 2)]
    sure = direction_confidence(tree, 0, {0: 0.7, 1: 0.2, 2: 0.1})
    assert np.isclose(sure[0, 1], 0.7)
    assert np.isclose(sure[1, 2], 0.9)


def test_an_edge_that_is_likelier_wrong_than_right_is_not_claimed(planter, planted, monkeypatch):
    root = planter.root()
    a = planter.finetuned(root, 0.03)
    states = {"root": root, "a": a, "b": planter.finetuned(root, 0.03), "pruned": made.prune(a, 0.4, True)[0]}
    with planted(states) as family:
        cost = METRICS["auto"](family)
        assert len(TREE_METHODS["heritage"](family, cost).edges) == 3
        monkeypatch.setattr(fitted, "LEAST_CONFIDENCE", 1.01)
        tree = TREE_METHODS["heritage"](family, cost)
    assert [(e.parent, e.child, e.relation) for e in tree.edges] == [(1, 3, "prune")]  # a proof stays
    assert list(tree.roots) == [0]


def test_nothing_that_a_merge_was_made_from_comes_below_its_child():
    cost = np.full((5, 5), 9.0)  # root 0 with children 1 and 2, their merge 3, its child 4
    for (i, j), c in {(0, 1): 1.0, (0, 2): 5.0, (1, 3): 1.2, (2, 3): 4.9, (3, 4): 0.5, (2, 4): 4.0}.items():
        cost[i, j] = cost[j, i] = c
    tree = insert_merge({(0, 1), (0, 2)}, cost, Proof("merge", (1, 2), 3, 30.0, "linear"), set())
    child = Proof("inside", (3,), 4, 0.0, "")
    assert insert_merge(tree, cost, child, set(), above=(1, 2, 3)) == {(0, 1), (0, 2), (1, 3), (3, 4)}
    assert (2, 4) in insert_merge(tree, cost, child, set())  # which would close a circle


def test_paths_to_the_parents_of_a_ties_merge_lead_away_from_its_base(planter, planted):
    root = planter.root()
    a, b = planter.finetuned(root, 0.03), planter.finetuned(root, 0.04)
    states = {"a": a, "root": root, "b": b, "merge": made.ties(root, [a, b], 0.4)}
    states["head"] = {**root, "classifier.weight": root["classifier.weight"] + 1}
    with planted(states) as family:
        cues = Cues(family, family.gather())
        (merge,) = cues.evidence.merges
        beside = below_bases([(0, 1), (1, 2), (0, 3), (1, 4)], cues)
        through = below_bases([(0, 4), (1, 4), (1, 2), (0, 3)], cues)
    assert merge.base in (1, 4)  # a head tells nothing of the merge
    assert {e: np.sign(v) for e, v in beside.items()} == {(0, 1): -1.0, (1, 2): 1.0}
    assert {e: np.sign(v) for e, v in through.items()} == {(0, 4): -1.0, (1, 2): 1.0}


def test_who_has_counted_more_batches_than_another_one_is_hardly_its_root():
    assert has_counted_more(np.array([300.0, 200.0, np.nan, 200.0])).tolist() == [True, False, False, False]
    assert not has_counted_more(np.full(3, np.nan)).any()
