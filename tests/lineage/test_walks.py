"""Walks against networkx, on any small directed graph, cycles included."""

import itertools

import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from heritage.lineage import walks

vertices = st.sampled_from("abcdefgh")
graphs = st.dictionaries(vertices, st.lists(vertices, unique=True, max_size=4), max_size=8)


def oracle(neighbours: dict[str, list[str]]) -> "nx.DiGraph[str]":
    return nx.DiGraph({v: list(near) for v, near in neighbours.items()})


@given(graphs, vertices)
def test_distances_are_those_of_breadth_first_search(neighbours: dict[str, list[str]], start: str) -> None:
    graph = oracle(neighbours | {start: neighbours.get(start, [])})

    found = walks.distances([start], neighbours)

    assert found == dict(nx.single_source_shortest_path_length(graph, start))
    assert list(found.values()) == sorted(found.values())


@given(graphs, vertices, vertices)
def test_a_shortest_path_is_a_path_and_as_short_as_networkx_says(
    neighbours: dict[str, list[str]], start: str, goal: str
) -> None:
    graph = oracle(neighbours)
    graph.add_nodes_from([start, goal])

    path = walks.shortest_path(start, goal, neighbours)

    if not nx.has_path(graph, start, goal):
        assert path == ()
    else:
        assert (path[0], path[-1]) == (start, goal)
        assert len(path) - 1 == nx.shortest_path_length(graph, start, goal)
        assert all(b in neighbours[a] for a, b in itertools.pairwise(path))


@given(graphs)
def test_cyclic_groups_are_the_strong_components_that_hold_a_cycle(neighbours: dict[str, list[str]]) -> None:
    graph = oracle(neighbours)

    expected = {
        frozenset(group)
        for group in nx.strongly_connected_components(graph)
        if len(group) > 1 or any(graph.has_edge(v, v) for v in group)
    }

    found = walks.cyclic_groups(neighbours)
    assert set(found) == expected
    for group in found:
        cycle = walks.cycle_in(group, neighbours)
        assert cycle[0] == cycle[-1] == min(group)
        assert len(set(cycle)) == len(cycle) - 1
        assert all(b in neighbours[a] for a, b in itertools.pairwise(cycle))


@given(graphs)
def test_the_topological_order_is_networkx_lexicographic_order(neighbours: dict[str, list[str]]) -> None:
    graph = oracle({v: [w for w in near if w > v] for v, near in neighbours.items()})  # acyclic by construction

    order = walks.topological_order(graph.nodes, graph.adj)

    assert order == list(nx.lexicographical_topological_sort(graph))


def test_what_stands_behind_a_cycle_has_no_topological_order() -> None:
    assert walks.topological_order("abcd", {"a": ["b"], "b": ["c"], "c": ["b", "d"]}) == ["a"]


@given(graphs)
def test_components_are_those_of_the_undirected_graph(neighbours: dict[str, list[str]]) -> None:
    graph = oracle(neighbours)
    back = {v: list(graph.pred[v]) for v in graph}

    found = walks.components(graph, neighbours, back)

    assert set(found) == set(map(frozenset, nx.weakly_connected_components(graph)))
    assert [len(g) for g in found] == sorted(map(len, found), reverse=True)
