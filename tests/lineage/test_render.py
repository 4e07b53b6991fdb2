"""Rows of a drawn tree: every version once in full, merges referred to, nothing recursive."""

from hypothesis import given
from hypothesis import strategies as st

from heritage.lineage.graph import LineageGraph
from heritage.lineage.nodes import Edge, Node
from heritage.lineage.render import tree_rows
from heritage.records import Origin, ParentEdge, Relation


def node(name: str, day: int = 1) -> Node:
    return Node(name * 64, created_at=f"2026-01-{day:02d}")


def edge(child: str, parent: str, confidence: float = 1.0) -> Edge:
    return Edge(child * 64, ParentEdge(parent * 64, Relation.FINETUNE, Origin.RECOVERED, confidence))


def drawn(graph: LineageGraph, root: str, max_children: int | None = None) -> list[str]:
    rows = tree_rows(graph, root * 64, max_children)
    return ["  " * row.depth + row.node.digest[0] + ("*" if row.reference else "") for row in rows]


def test_children_stand_oldest_first_under_their_parent() -> None:
    graph = LineageGraph(
        [node("a"), node("b", 3), node("c", 2), node("d", 9)], [edge("b", "a"), edge("c", "a"), edge("d", "c")]
    )

    assert drawn(graph, "a") == ["a", "  c", "    d", "  b"]
    assert [row.last for row in tree_rows(graph, "a" * 64)] == [True, False, True, True]


def test_a_merge_is_drawn_under_its_surest_parent_and_referred_to_elsewhere() -> None:
    edges = [edge("b", "a"), edge("c", "a"), edge("d", "b", 0.6), edge("d", "c", 0.9), edge("e", "d")]
    graph = LineageGraph([node(n) for n in "abcde"], edges)

    assert drawn(graph, "a") == ["a", "  b", "    d*", "  c", "    d", "      e"]
    assert drawn(graph, "b") == ["b", "  d", "    e"]  # the surer parent is not in this drawing


def test_children_past_the_limit_are_counted() -> None:
    graph = LineageGraph([node("a")], [edge(c, "a") for c in "bcdef"])
    rows = tree_rows(graph, "a" * 64, max_children=2)

    assert [row.node.digest[0] for row in rows] == ["a", "b", "c"]
    assert [row.left_out for row in rows] == [3, 0, 0]
    assert rows[-1].last


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda p: p[0] > p[1]), max_size=20))
def test_every_descendant_is_drawn_in_full_once(pairs: list[tuple[int, int]]) -> None:
    graph = LineageGraph([node("0")], [edge(str(child), str(parent)) for child, parent in pairs])
    rows = tree_rows(graph, "0" * 64)

    full = [row.node.digest for row in rows if not row.reference]
    assert sorted(full) == sorted(["0" * 64, *graph.descendants("0" * 64)])
    assert sum(row.reference for row in rows) == sum(
        sum(parent in full for parent in graph.parents(d)) - 1 for d in full if d != "0" * 64
    )


def test_a_deep_chain_is_drawn_without_recursion() -> None:
    def link(i: int) -> Edge:
        return Edge(f"{i:064x}", ParentEdge(f"{i - 1:064x}", Relation.FINETUNE, Origin.DECLARED))

    rows = tree_rows(LineageGraph([], map(link, range(1, 50_000))), "0" * 64)

    assert rows[-1].depth == 49_999
