"""Which edges stand in a circle, and which to believe: manifests are written apart, so together they may disagree."""

from collections.abc import Iterable

from heritage.lineage.nodes import Edge
from heritage.lineage.walks import cycle_in, cyclic_groups
from heritage.records import Origin


def find_cycles(edges: Iterable[Edge]) -> list[tuple[str, ...]]:
    """One shortest cycle for each group of versions that are their own ancestors, its first digest at both ends."""
    parents = _parents(edges)
    return sorted(cycle_in(group, parents) for group in cyclic_groups(parents))


def acyclic(edges: Iterable[Edge]) -> tuple[list[Edge], list[Edge]]:
    """`edges` without circles, and those left out for it.

    Attested edges are laid first, then declared, then recovered ones; what stands in a circle with edges laid before
    it or with its own kind is left out, all of that kind, so that the order of `edges` does not matter.
    """
    given = list(edges)
    kept: list[Edge] = []
    for origin in (Origin.ATTESTED, Origin.DECLARED, Origin.RECOVERED):
        kept += [edge for edge in given if edge.record.origin is origin]
        group_of = {d: i for i, group in enumerate(cyclic_groups(_parents(kept))) for d in group}
        kept = [e for e in kept if e.record.origin is not origin or not _inside(e, group_of)]
    standing = {id(edge) for edge in kept}
    return [e for e in given if id(e) in standing], [e for e in given if id(e) not in standing]


def _inside(edge: Edge, group_of: dict[str, int]) -> bool:
    return edge.child in group_of and group_of[edge.child] == group_of.get(edge.parent)


def _parents(edges: Iterable[Edge]) -> dict[str, dict[str, None]]:
    parents: dict[str, dict[str, None]] = {}
    for edge in edges:
        parents.setdefault(edge.child, {})[edge.parent] = None
    return parents
