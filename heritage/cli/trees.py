"""Lineage drawn in the terminal."""

from rich.markup import escape
from rich.tree import Tree

from heritage.lineage.graph import LineageGraph
from heritage.lineage.render import TreeRow, tree_rows
from heritage.names import printable


def draw(graph: LineageGraph, root: str, marks: dict[str, str] | None = None, max_children: int = 50) -> Tree:
    """The tree below `root`; `marks` adds a note to the nodes of these digests."""
    rows = tree_rows(graph, root, max_children)
    branches = [Tree(_line(rows[0], marks or {}))]
    for row in rows[1:]:
        del branches[row.depth :]
        branches.append(branches[-1].add(_line(row, marks or {})))
    return branches[0]


def _line(row: TreeRow, marks: dict[str, str]) -> str:
    names = ", ".join(f"{name}/{version}" for name, version in row.node.versions) or row.node.digest[:12]
    line = f"[bold]{escape(printable(names))}[/bold]"
    if row.edge is not None:
        known = row.edge.origin.value
        sure = f" {row.edge.confidence:.2f}" if row.edge.confidence < 1 else ""
        line += f"  [cyan]{row.edge.relation.value}[/cyan] [dim]{known}{sure}[/dim]"
    if row.reference:
        line += "  [dim](drawn above)[/dim]"
    if not row.node.present:
        line += "  [red]not registered[/red]"
    if row.left_out:
        line += f"  [dim]and {row.left_out} more children[/dim]"
    return line + (f"  {marks[row.node.digest]}" if row.node.digest in marks else "")
