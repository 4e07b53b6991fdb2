"""A lineage as rows to draw: parents above children, merges once in full and elsewhere as a reference."""

from dataclasses import dataclass

from heritage.lineage.graph import LineageGraph
from heritage.lineage.nodes import Node
from heritage.lineage.tags import strength
from heritage.records import ParentEdge


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One line of a drawn tree.

    `edge` is the most trusted edge to the row above it in the tree, None for the root. `last` says that no sibling
    follows. A `reference` row stands for a merge that is drawn in full under another parent. `left_out` counts
    children that are not drawn.
    """

    node: Node
    depth: int
    edge: ParentEdge | None
    last: bool
    reference: bool
    left_out: int


def tree_rows(graph: LineageGraph, root: str, max_children: int | None = None) -> list[TreeRow]:
    """The tree below `root`, in drawing order: a node, then its children, oldest first.

    A version with several parents is drawn in full under the one it is most surely a child of. At most
    `max_children` children of a node are drawn. Cost O(n log n) in the rows; no recursion.
    """
    drawn = {root, *graph.descendants(root)}
    home = {digest: _home(graph, digest, drawn) for digest in drawn if digest != root}
    rows: list[TreeRow] = []
    waiting: list[tuple[str, str | None, int, bool]] = [(root, None, 0, True)]
    while waiting:
        digest, parent, depth, last = waiting.pop()
        edge = graph.edges_between(digest, parent)[0] if parent else None
        reference = parent is not None and home[digest] != parent
        children = [] if reference else sorted(graph.children(digest), key=lambda d: (graph.node(d).created_at, d))
        shown = children[:max_children]
        rows.append(TreeRow(graph.node(digest), depth, edge, last, reference, len(children) - len(shown)))
        waiting += [(child, digest, depth + 1, child == shown[-1]) for child in reversed(shown)]
    return rows


def _home(graph: LineageGraph, digest: str, drawn: set[str]) -> str:
    inside = sorted(parent for parent in graph.parents(digest) if parent in drawn)
    return max(inside, key=lambda parent: strength(graph.edges_between(digest, parent)[0]))
