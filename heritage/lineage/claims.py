"""Lineage as tags alone tell it: enough to fill an index without opening a file, and no more than a claim."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from heritage.lineage.nodes import Edge, Node
from heritage.lineage.tags import TagEdge, read_tags
from heritage.records import ModelVersion, ParentEdge


@dataclass(frozen=True, slots=True)
class Claims:
    """What the tags of some versions tell; `unclear` are versions of which only the manifest tells everything.

    Nodes have a digest and a signature only.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    unclear: tuple[ModelVersion, ...]


def claims_of(versions: Iterable[ModelVersion], beginning_with: Callable[[str], Sequence[str]]) -> Claims:
    """What the tags of `versions` tell; `beginning_with` gives the known digests that begin with 12 characters.

    A tag that cannot be read, and a parent that is not known or could be either of two, leave the version unclear.
    """
    nodes: list[Node] = []
    edges: list[Edge] = []
    unclear: list[ModelVersion] = []
    for version in versions:
        told = read_tags(version.tags)
        nodes.append(Node(version.digest, signature=told.data))
        found = [_edge(version, edge, beginning_with(edge.prefix)) for edge in told.parents]
        edges += [edge for edge in found if edge]
        if told.malformed or None in found:
            unclear.append(version)
    return Claims(tuple(nodes), tuple(edges), tuple(unclear))


def _edge(version: ModelVersion, told: TagEdge, parents: Sequence[str]) -> Edge | None:
    if len(parents) != 1 or parents[0] == version.digest:
        return None
    return Edge(version.digest, ParentEdge(parents[0], told.relation, told.origin, told.confidence))
