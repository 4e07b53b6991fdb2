"""The lineage graph: networkx as oracle on random families, and the words it must keep apart."""

import itertools
import math
import time
from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heritage.errors import LineageCycle, NotFound
from heritage.lineage.cycles import acyclic, find_cycles
from heritage.lineage.graph import LineageGraph
from heritage.lineage.kinship import Kinship
from heritage.lineage.nodes import Edge, Node, architecture_key
from heritage.records import (
    Architecture,
    MadeBy,
    Manifest,
    ModelVersion,
    Origin,
    ParentEdge,
    Relation,
    TrainingData,
)


def digest(number: int) -> str:
    return f"{number:064x}"


def edge(
    child: int,
    parent: int,
    origin: Origin = Origin.DECLARED,
    confidence: float = 1.0,
    relation: Relation = Relation.FINETUNE,
) -> Edge:
    return Edge(digest(child), ParentEdge(digest(parent), relation, origin, confidence))


def graph_of(pairs: list[tuple[int, int]]) -> LineageGraph:
    """A graph of present nodes with an edge for each (child, parent)."""
    return LineageGraph([Node(digest(n)) for pair in pairs for n in pair], [edge(c, p) for c, p in pairs])


pairs = st.tuples(st.integers(0, 9), st.integers(0, 9))
# a child has the larger number, so no cycle can arise; then numbers are shuffled
dags = st.tuples(
    st.lists(pairs.map(lambda p: (max(p), min(p))).filter(lambda p: p[0] != p[1]), min_size=1, max_size=18),
    st.permutations(range(10)),
).map(lambda drawn: [(drawn[1][c], drawn[1][p]) for c, p in drawn[0]])


def oracle(family: list[tuple[int, int]]) -> "nx.DiGraph[str]":
    """Parent -> child."""
    return nx.DiGraph([(digest(p), digest(c)) for c, p in family])


@given(dags)
def test_lines_of_descent_are_those_of_networkx(family: list[tuple[int, int]]) -> None:
    graph, expected = graph_of(family), oracle(family)

    for node in graph:
        d = node.digest
        assert set(graph.ancestors(d)) == nx.ancestors(expected, d)
        assert set(graph.descendants(d)) == nx.descendants(expected, d)
        assert set(graph.parents(d)) == set(expected.pred[d])
        assert set(graph.children(d)) == set(expected.succ[d])
        assert graph.depth(d) == graph.depths()[d]
        assert set(graph.roots(d)) == {a for a in {d, *nx.ancestors(expected, d)} if not expected.pred[a]}
    assert set(graph.roots()) == {d for d in expected if not expected.pred[d]}
    assert graph.topological_order() == list(nx.lexicographical_topological_sort(expected))
    assert max(graph.depths().values()) == nx.dag_longest_path_length(expected)
    assert len(graph.families()) == nx.number_weakly_connected_components(expected)


@given(dags)
def test_siblings_and_cousins_follow_their_definition(family: list[tuple[int, int]]) -> None:
    graph, g = graph_of(family), oracle(family)

    def siblings(d: str) -> set[str]:
        return {s for p in g.pred[d] for s in g.succ[p]} - {d}

    for d in g:
        cousins = {c for p in g.pred[d] for u in siblings(p) for c in g.succ[u]} - {d} - siblings(d)
        assert set(graph.siblings(d)) == siblings(d)
        assert set(graph.cousins(d)) == cousins


@given(dags)
def test_nearest_common_ancestors_have_no_common_ancestor_below(family: list[tuple[int, int]]) -> None:
    graph, g = graph_of(family), oracle(family)

    for one, other in itertools.combinations(g, 2):
        common = ({one} | nx.ancestors(g, one)) & ({other} | nx.ancestors(g, other))
        nearest = {c for c in common if not any(c in nx.ancestors(g, d) for d in common)}
        assert set(graph.common_ancestors(one, other)) == nearest


@given(dags)
def test_a_path_leads_down_and_is_shortest(family: list[tuple[int, int]]) -> None:
    graph, g = graph_of(family), oracle(family)

    for upper, lower in itertools.permutations(g, 2):
        path = graph.path(upper, lower)
        if nx.has_path(g, upper, lower):
            assert nx.is_path(g, path)
            assert (path[0], path[-1], len(path) - 1) == (upper, lower, nx.shortest_path_length(g, upper, lower))
        else:
            assert path == ()


@given(dags)
def test_relatives_are_found_at_their_shortest_distance(family: list[tuple[int, int]]) -> None:
    graph, g = graph_of(family), oracle(family)
    up, down = nx.shortest_path_length(g.reverse()), nx.shortest_path_length(g)
    ups, downs = dict(up), dict(down)

    for d in g:
        expected: dict[str, tuple[Kinship, int]] = {}
        for other in set(g) - {d}:
            ways = [ups[d][a] + downs[a][other] for a in ups[d] if other in downs[a]]
            if other in ups[d]:
                expected[other] = (Kinship.ANCESTOR, ups[d][other])
            elif other in downs[d]:
                expected[other] = (Kinship.DESCENDANT, downs[d][other])
            elif ways:
                sibling = set(g.pred[d]) & set(g.pred[other])
                expected[other] = (Kinship.SIBLING if sibling else Kinship.COLLATERAL, min(ways))
        found = graph.relatives(d)
        assert {r.digest: (r.kinship, r.distance) for r in found} == expected
        assert [r.distance for r in found] == sorted(r.distance for r in found)


@given(st.lists(pairs, max_size=20))
def test_adding_edges_one_by_one_never_closes_a_circle(family: list[tuple[int, int]]) -> None:
    graph, expected = LineageGraph(), nx.DiGraph()
    for child, parent in family:
        expected.add_edge(digest(parent), digest(child))
        if nx.is_directed_acyclic_graph(expected):
            graph.add_edge(edge(child, parent))
            continue
        expected.remove_edge(digest(parent), digest(child))
        before = list(graph.edges())
        with pytest.raises(LineageCycle):
            graph.add_edge(edge(child, parent))
        assert list(graph.edges()) == before


def test_the_error_names_the_circle_by_address() -> None:
    graph = LineageGraph([Node(digest(n), (("digits", str(n)),)) for n in (1, 2, 3)], [edge(2, 1), edge(3, 2)])

    with pytest.raises(LineageCycle, match="digits/1 <- digits/3 <- digits/2 <- digits/1"):
        graph.add_edge(edge(1, 3))
    with pytest.raises(LineageCycle, match="digits/1 <- digits/1"):
        graph.add_edge(edge(1, 1))


origins = st.sampled_from(Origin)


@given(st.lists(st.tuples(pairs, origins), max_size=20), st.randoms())
def test_circles_are_left_out_weakest_origin_first(drawn: list[tuple[tuple[int, int], Origin]], random: object) -> None:
    edges = [edge(c, p, origin) for (c, p), origin in drawn]

    kept, dropped = acyclic(edges)

    assert find_cycles(kept) == []
    assert sorted(map(repr, kept + dropped)) == sorted(map(repr, edges))
    assert (not dropped) == (not find_cycles(edges))
    for lost in dropped:
        rank = [Origin.ATTESTED, Origin.DECLARED, Origin.RECOVERED].index
        as_strong = [e for e in edges if rank(e.record.origin) <= rank(lost.record.origin)]
        assert any(lost.child in cycle for cycle in circles(as_strong))
    shuffled = list(edges)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert set(map(repr, acyclic(shuffled)[0])) == set(map(repr, kept))


def circles(edges: list[Edge]) -> list[set[str]]:
    g = nx.DiGraph([(e.child, e.parent) for e in edges])
    return [s for s in nx.strongly_connected_components(g) if len(s) > 1 or any(g.has_edge(v, v) for v in s)]


def test_building_from_edges_with_a_circle_is_refused() -> None:
    with pytest.raises(LineageCycle, match="circle"):
        LineageGraph([], [edge(1, 2), edge(2, 3), edge(3, 1)])


def test_a_declared_and_a_recovered_edge_of_one_pair_are_both_kept() -> None:
    said, found = edge(2, 1), edge(2, 1, Origin.RECOVERED, 0.8, Relation.PRUNE)
    graph = LineageGraph([], [found, said])

    assert graph.edges_between(digest(2), digest(1)) == (said.record, found.record)
    assert graph.trusted().edges_between(digest(2), digest(1)) == (said.record,)


def test_the_trusted_view_takes_what_is_sure_enough() -> None:
    weak, sure = edge(2, 1, Origin.DECLARED, 0.3), edge(2, 1, Origin.RECOVERED, 0.95)
    unsure = edge(3, 1, Origin.RECOVERED, 0.5)
    view = LineageGraph([], [weak, sure, unsure]).trusted(0.9)

    assert [e.record for e in view.edges()] == [sure.record]
    assert digest(3) in view


def test_of_two_edges_of_one_origin_the_surer_stays_in_either_order() -> None:
    edges = [edge(2, 1, Origin.RECOVERED, 0.6), edge(2, 1, Origin.RECOVERED, 0.9)]

    for order in (edges, edges[::-1]):
        assert LineageGraph([], order).edges_between(digest(2), digest(1)) == (edges[1].record,)


def family() -> LineageGraph:
    """0 -> 1 -> 2 -> 3, 0 -> 4 (sibling of 1), 4 -> 5 (cousin of 2), 2 + 5 -> 6 (merge)."""
    return graph_of([(1, 0), (2, 1), (3, 2), (4, 0), (5, 4), (6, 2), (6, 5)])


def test_relatives_carry_kinship_and_confidence_of_the_way() -> None:
    graph = LineageGraph(
        [Node(digest(n)) for n in range(4)],
        [
            edge(1, 0, Origin.RECOVERED, 0.5),
            edge(2, 0, Origin.RECOVERED, 0.8),
            edge(3, 1, Origin.RECOVERED, 0.9),
        ],
    )

    found = {r.digest: r for r in graph.relatives(digest(3))}

    assert found[digest(1)].confidence == pytest.approx(0.9)
    assert found[digest(2)].kinship is Kinship.COLLATERAL
    assert (found[digest(2)].up, found[digest(2)].down) == (2, 1)
    assert found[digest(2)].confidence == pytest.approx(0.9 * 0.5 * 0.8)
    assert [r.digest for r in graph.relatives(digest(3), min_confidence=0.6)] == [digest(1)]
    assert [r.digest for r in graph.relatives(digest(3), max_distance=1)] == [digest(1)]


def test_the_nearest_generation_with_a_healthy_ancestor_is_taken() -> None:
    graph = family()
    d = digest

    assert graph.nearest_healthy_ancestor(d(3), {d(2): False, d(1): True, d(0): True}) == graph.node(d(1))
    assert graph.nearest_healthy_ancestor(d(6), {d(2): 0.4, d(5): 0.9, d(0): 5.0}) == graph.node(d(5))
    assert graph.nearest_healthy_ancestor(d(6), {d(2): math.nan, d(4): 0.1}) == graph.node(d(4))
    assert graph.nearest_healthy_ancestor(d(3), lambda digest: digest == d(0)) == graph.node(d(0))
    assert graph.nearest_healthy_ancestor(d(3), {}) is None
    assert graph.nearest_healthy_ancestor(d(0), {d(0): True}) is None


def test_an_absent_parent_joins_siblings_but_is_no_donor() -> None:
    graph = LineageGraph([Node(digest(1)), Node(digest(2))], [edge(1, 0), edge(2, 0)])

    assert not graph.node(digest(0)).present
    assert graph.siblings(digest(1)) == (digest(2),)
    assert [r.digest for r in graph.relatives(digest(1))] == [digest(2)]
    assert graph.nearest_healthy_ancestor(digest(1), lambda _: True) is None


def test_an_unknown_digest_or_address_is_not_found() -> None:
    graph = family()

    for ask in (graph.node, graph.ancestors, graph.descendants, graph.siblings, graph.relatives, graph.depth):
        with pytest.raises(NotFound, match="lineage graph"):
            ask("f" * 64)
    with pytest.raises(NotFound, match="digits/9"):
        graph.at("digits", "9")


def manifest(number: int, *parents: ParentEdge) -> Manifest:
    return Manifest(
        digest(number),
        "digits",
        (),
        "float32",
        10,
        MadeBy("0.1.0"),
        f"2026-11-{number + 1:02d}T00:00:00+00:00",
        Architecture("a.b:c", {"hidden": (2, 3)}),
        TrainingData("d" * 64, 5),
        parents,
        {"accuracy": 0.9},
    )


def test_a_graph_comes_from_manifests_and_versions_in_any_order() -> None:
    manifests = [manifest(1), manifest(2, edge(2, 1).record, edge(2, 7).record), manifest(2, edge(2, 1).record)]
    versions = [
        ModelVersion("digits", "10", digest(2), "r", "s", created_at_ms=1_700_000_000_000),
        ModelVersion("digits", "9", digest(2), "r", "s"),
        ModelVersion("twin", "1", digest(2), "r", "s"),
        ModelVersion("foreign", "1", "", "r", "s"),
    ]
    graphs = [
        LineageGraph.of(m, v) for m in itertools.permutations(manifests) for v in itertools.permutations(versions)
    ]

    assert len({repr(sorted(graph, key=lambda n: n.digest)) for graph in graphs}) == 1
    node = graphs[0].at("digits", "10")
    assert node.versions == (("digits", "9"), ("digits", "10"), ("twin", "1"))
    assert node.signature == "d" * 64
    assert node.metrics == {"accuracy": 0.9}
    assert node.architecture == architecture_key(Architecture("a.b:c", {"hidden": [2, 3]}))
    assert node.created_at == "2023-11-14T22:13:20+00:00"
    assert not graphs[0].node(digest(7)).present


def test_statistics_count_what_is_there() -> None:
    found = family().statistics()

    assert (found.contents, found.absent, found.edges, found.families) == (7, 0, 7, 1)
    assert (found.roots, found.merges, found.depth, found.most_children) == (1, 1, 3, 2)
    assert found.relations == {"finetune": 7}
    assert found.origins == {"declared": 7}
    empty = LineageGraph().statistics()
    assert (empty.contents, empty.depth, empty.families) == (0, 0, 0)


def test_the_export_to_networkx_keeps_records() -> None:
    graph = LineageGraph([], [edge(2, 1), edge(2, 1, Origin.RECOVERED, 0.5)])

    exported = graph.to_networkx()

    assert exported.number_of_edges(digest(1), digest(2)) == 2
    assert exported.edges[digest(1), digest(2), "recovered"]["record"].confidence == 0.5


def test_a_chain_of_50_000_versions_takes_no_recursion_and_seconds() -> None:
    n = 50_000
    started = time.perf_counter()
    graph = LineageGraph()
    for i in range(1, n):
        graph.add_edge(edge(i, i - 1))

    assert len(graph.ancestors(digest(n - 1))) == n - 1
    assert graph.depth(digest(n - 1)) == n - 1
    assert len(graph.path(digest(0), digest(n - 1))) == n
    assert len(graph.topological_order()) == n
    assert graph.statistics().depth == n - 1
    assert len(graph.relatives(digest(n - 1))) == 0  # every ancestor is absent here
    with pytest.raises(LineageCycle, match="49989 more"):
        graph.add_edge(edge(0, n - 1))
    assert time.perf_counter() - started < 20


def test_one_parent_of_100_000_children_and_a_merge_of_64() -> None:
    n = 100_000
    started = time.perf_counter()
    merge = [edge(n + 1, i, relation=Relation.MERGE) for i in range(1, 65)]
    graph = LineageGraph([Node(digest(0))], [edge(i, 0) for i in range(1, n + 1)] + merge)

    assert len(graph.descendants(digest(0))) == n + 1
    assert len(graph.siblings(digest(1))) == n - 1
    assert len(graph.parents(digest(n + 1))) == 64
    assert graph.common_ancestors(digest(1), digest(2)) == (digest(0),)
    assert len(graph.cousins(digest(n + 1))) == 0
    assert graph.statistics().most_children == n
    assert time.perf_counter() - started < 20


def test_a_circle_of_50_000_versions_is_named_in_short() -> None:
    n = 50_000
    with pytest.raises(LineageCycle, match="more"):
        LineageGraph([], [edge(i, (i + 1) % n) for i in range(n)])


def test_nodes_of_one_content_are_put_together_field_by_field() -> None:
    graph = LineageGraph([Node(digest(1), present=False), replace(Node(digest(1)), signature="d" * 64)])

    assert graph.node(digest(1)) == Node(digest(1), signature="d" * 64)
