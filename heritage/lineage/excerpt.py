"""The part of a family tree around one version, as lines of text."""

from collections.abc import Mapping

from heritage.lineage.graph import LineageGraph
from heritage.lineage.nodes import Edge
from heritage.lineage.render import TreeRow, tree_rows
from heritage.names import printable

_SIBLINGS = 6  # of each parent
_CHILDREN = 10
_LINES = 60
_NAME = 80  # characters of a name


def excerpt(graph: LineageGraph, digest: str, marks: Mapping[str, str] | None = None) -> list[str]:
    """Lines that draw the ancestors of `digest`, itself (marked with '◀'), some siblings and some children.

    `marks` adds words to the lines of digests. At most 60 lines; what is left out is told. All text is printable.
    """
    part = around(graph, digest)
    lines: list[str] = []
    for root in part.roots():
        rows = tree_rows(part, root)
        for row, lead in zip(rows, _leads(rows), strict=True):
            lines.append(lead + _line(graph, part, row, digest, marks or {}))
    left_out = [f"... {len(lines) - _LINES} more lines"] if len(lines) > _LINES else []
    return lines[:_LINES] + left_out


def around(graph: LineageGraph, digest: str) -> LineageGraph:
    """`graph` cut to the ancestors of `digest`, itself, its first siblings and its first children."""

    def first(digests: tuple[str, ...], n: int) -> list[str]:
        return sorted(digests, key=lambda d: (graph.node(d).created_at, d))[:n]

    shown = {digest, *graph.ancestors(digest), *first(graph.children(digest), _CHILDREN)}
    for parent in graph.parents(digest):
        shown.update(first(graph.children(parent), _SIBLINGS))
    edges = [
        Edge(child, record)
        for child in shown
        for parent in graph.parents(child)
        if parent in shown
        for record in graph.edges_between(child, parent)
    ]
    return LineageGraph((graph.node(d) for d in shown), edges)


def _leads(rows: list[TreeRow]) -> list[str]:
    """The lines of the tree in front of each row."""
    leads, open_at = [], list[bool]()  # whether a line goes on at each depth
    for row in rows:
        del open_at[max(row.depth - 1, 0) :]
        above = "".join("│   " if goes_on else "    " for goes_on in open_at)
        leads.append("" if row.depth == 0 else above + ("└── " if row.last else "├── "))
        if row.depth:
            open_at.append(not row.last)
    return leads


def _line(graph: LineageGraph, part: LineageGraph, row: TreeRow, digest: str, marks: Mapping[str, str]) -> str:
    node = row.node
    words = [printable(node.label, _NAME)]
    if row.edge is not None:
        sure = f" {row.edge.confidence:.2f}" if row.edge.confidence < 1 else ""
        words.append(f"{row.edge.relation.value} {row.edge.origin.value}{sure}")
    if not node.present:
        words.append("not registered")
    if node.digest in marks:
        words.append(printable(marks[node.digest], _NAME))
    if row.reference:
        words.append("(drawn above)")
    elif hidden := len(graph.children(node.digest)) - len(part.children(node.digest)):
        words.append(f"(and {hidden} more {'child' if hidden == 1 else 'children'})")
    return "  ".join(words) + ("  ◀" if node.digest == digest and not row.reference else "")
