"""The tree around one version as text: the line of ancestors whole, siblings and children up to a bound."""

from heritage.lineage.excerpt import around, excerpt
from heritage.lineage.graph import LineageGraph
from heritage.lineage.nodes import Edge, Node
from heritage.records import Origin, ParentEdge, Relation


def digest(number: int) -> str:
    return f"{number:064x}"


def graph(links: dict[int, list[int]]) -> LineageGraph:
    """child -> parents; node n is registered as 'm<n>/1' at second n."""
    numbers = sorted({*links, *(p for parents in links.values() for p in parents)})
    nodes = [
        Node(digest(n), ((f"m{n}", "1"),), created_at=f"2026-11-22T00:{n // 60:02d}:{n % 60:02d}") for n in numbers
    ]
    edges = [
        Edge(digest(child), ParentEdge(digest(p), Relation.FINETUNE, Origin.DECLARED))
        for child, parents in links.items()
        for p in parents
    ]
    return LineageGraph(nodes, edges)


def test_a_small_family_is_drawn_whole() -> None:
    family = graph({2: [1], 3: [1], 4: [2], 5: [2, 3]})

    assert excerpt(family, digest(2), {digest(2): "champion"}) == [
        "m1/1",
        "├── m2/1  finetune declared  champion  ◀",
        "│   ├── m4/1  finetune declared",
        "│   └── m5/1  finetune declared",
        "└── m3/1  finetune declared",
        "    └── m5/1  finetune declared  (drawn above)",
    ]


def test_a_merge_is_drawn_once_and_named_under_its_other_parent() -> None:
    lines = excerpt(graph({2: [1], 3: [1], 4: [2, 3]}), digest(4))

    assert [line for line in lines if "m4/1" in line] == [
        "│   └── m4/1  finetune declared  ◀",
        "    └── m4/1  finetune declared  (drawn above)",
    ]


def test_many_children_and_siblings_are_counted_and_not_drawn() -> None:
    wide = graph({n: [1] for n in range(2, 600)} | {n: [2] for n in range(600, 1_200)})

    lines = excerpt(wide, digest(2))

    assert len(lines) < 20
    assert "(and 592 more children)" in lines[0]  # six siblings are shown, the version among them
    assert any("m2/1" in line and "(and 590 more children)" in line and line.endswith("◀") for line in lines)
    assert len(around(wide, digest(700))) == 2 + 6 + 1


def test_a_long_line_of_ancestors_is_cut_and_its_length_told() -> None:
    lines = excerpt(graph({n: [n - 1] for n in range(2, 200)}), digest(199))

    assert len(lines) == 61
    assert lines[-1] == "... 139 more lines"


def test_names_are_printable_and_a_lost_parent_is_told() -> None:
    family = LineageGraph(
        [Node(digest(2), (("a\x1b[31m\n```", "1"),))],
        [Edge(digest(2), ParentEdge(digest(1), Relation.PRUNE, Origin.RECOVERED, 0.5))],
    )

    assert excerpt(family, digest(2)) == [
        "000000000000  not registered",
        "└── a\\x1b[31m\\n```/1  prune recovered 0.50  ◀",
    ]
