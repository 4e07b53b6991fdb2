"""Families and lineage edges as the registry has them: by tags for the whole fleet, by manifests where it counts."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from heritage.errors import UnsafeName
from heritage.lineage.cycles import acyclic
from heritage.lineage.graph import LineageGraph
from heritage.lineage.nodes import Edge, node_of_version
from heritage.lineage.tags import TagEdge, read_tags, strength
from heritage.names import check_name, printable
from heritage.records import ModelVersion, Origin, ParentEdge, Relation
from heritage.recovery.results import RecoveredEdge, RecoveredFamily
from heritage.recovery.statistics import faults, tree_statistics
from heritage.registry import DUPLICATE_OF, FAMILY

Record = dict[str, Any]
PLACED_TAG = "heritage.placed"  # the version was compared with the others: by 'weights' or by 'fingerprints'
PROBLEM_TAG = "heritage.ingest"  # why it could not be


def canonical(versions: Iterable[ModelVersion]) -> dict[str, ModelVersion]:
    """One version for each content, by digest, oldest first: the first that is not marked as a duplicate.

    Versions whose names heritage does not take are left to the audit.
    """
    found: dict[str, ModelVersion] = {}
    for version in sorted(versions, key=lambda v: (DUPLICATE_OF in v.tags, v.created_at_ms, v.address)):
        if version.digest and is_taken(version.name):
            found.setdefault(version.digest, version)
    return dict(sorted(found.items(), key=lambda item: (item[1].created_at_ms, item[1].address)))


def tagged_edges(versions: Mapping[str, ModelVersion]) -> list[Edge]:
    """The edges that the tags of `versions` tell, where both ends are among them."""
    by_prefix = {digest[:12]: digest for digest in versions}
    edges = []
    for digest, version in versions.items():
        for edge in read_tags(version.tags).parents:
            parent = by_prefix.get(edge.prefix, digest)
            if parent != digest:
                edges.append(Edge(digest, _told_by(edge, versions[parent])))
    return edges


def tagged_graph(versions: Mapping[str, ModelVersion]) -> LineageGraph:
    """The lineage of `versions` by their tags; edges that run in a circle are left out."""
    edges, _ = acyclic(tagged_edges(versions))
    return LineageGraph(map(node_of_version, versions.values()), edges)


def believed(parents: Iterable[ParentEdge]) -> tuple[ParentEdge, ...]:
    """One edge a parent: what people and processes said, or, where nobody said anything, what was recovered."""
    best: dict[str, ParentEdge] = {}
    for edge in parents:
        best[edge.digest] = max(best.get(edge.digest, edge), edge, key=strength)
    said = tuple(e for e in best.values() if e.origin is not Origin.RECOVERED)
    return said or tuple(best.values())


def tree_of(family: str, parents: Mapping[str, Iterable[ParentEdge]]) -> RecoveredFamily:
    """The tree of a family from the parents of its members by digest; edges from outside the family are no part of it.

    A repair counts as a merge: it has several parents by intent.
    """
    edges = tuple(
        RecoveredEdge(e.digest, child, _kind(e), e.confidence, e.origin.value)
        for child, own in parents.items()
        for e in believed(edge for edge in own if edge.digest in parents)
    )
    held = {e.child for e in edges}
    return RecoveredFamily(family, tuple(parents), edges, tuple(d for d in parents if d not in held))


def statistics_of(tree: RecoveredFamily) -> Record:
    """Shape of a tree as JSON values, whether it is valid, and what is wrong with it."""
    wrong = faults(tree)
    return {**asdict(tree_statistics(tree)), "valid": not wrong, "faults": wrong}


def edge_record(child: str, records: Iterable[ParentEdge], label: Mapping[str, str]) -> Record:
    """A lineage edge as JSON values: the most trusted record of the pair, and the others as `evidence`.

    `label` gives addresses by digest; a parent that is not registered shows as the beginning of its digest.
    """
    first, *others = sorted(records, key=strength, reverse=True)
    return {
        "parent": label.get(first.digest, first.digest[:12]),
        "child": label.get(child, child[:12]),
        "parent_digest": first.digest,
        "child_digest": child,
        **_known(first),
        "evidence": [_known(edge) for edge in others],
    }


def edge_records(child: str, parents: Iterable[ParentEdge], label: Mapping[str, str]) -> list[Record]:
    """`edge_record` for each parent of `child`, most trusted first."""
    by_parent: dict[str, list[ParentEdge]] = {}
    for edge in sorted(parents, key=strength, reverse=True):
        by_parent.setdefault(edge.digest, []).append(edge)
    return [edge_record(child, records, label) for records in by_parent.values()]


def labels(versions: Mapping[str, ModelVersion]) -> dict[str, str]:
    """Printable address of each version by digest."""
    return {digest: printable(version.address) for digest, version in versions.items()}


def family_of(version: ModelVersion) -> str:
    """The version's family, '' where it has none or its tag is no name: anybody may edit tags."""
    family = version.tags.get(FAMILY, "")
    return family if is_taken(family) else ""


def is_taken(name: str) -> bool:
    """Whether heritage takes `name` for a model or a family."""
    try:
        check_name(name)
    except UnsafeName:
        return False
    return True


def _known(edge: ParentEdge) -> Record:
    found: Record = {"relation": edge.relation.value, "origin": edge.origin.value, "confidence": edge.confidence}
    if edge.origin is Origin.RECOVERED:
        found["reason"] = str(edge.transformation.parameters.get("reason", ""))
    return found


def _kind(edge: ParentEdge) -> str:
    return Relation.MERGE.value if edge.relation is Relation.REPAIR else edge.relation.value


def _told_by(edge: TagEdge, parent: ModelVersion) -> ParentEdge:
    return ParentEdge(parent.digest, edge.relation, edge.origin, edge.confidence, parent.name, parent.version)
