"""The whole fleet in one place: process a version, rebuild a tree, recluster everything, and questions about it all.

Everything is answered as plain values that JSON can hold, for pages and other programs. Families and statistics are
read from tags, the lineage of one family or version from manifests.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from heritage.errors import BadInput
from heritage.flows import ingest, rebuild, recluster
from heritage.flows.context import Context
from heritage.flows.plans import current
from heritage.flows.rebuild import manifests_of, members_of
from heritage.flows.trees import (
    PLACED_TAG,
    PROBLEM_TAG,
    believed,
    canonical,
    edge_records,
    family_of,
    labels,
    statistics_of,
    tagged_edges,
    tagged_graph,
    tree_of,
)
from heritage.lineage.cycles import acyclic
from heritage.lineage.graph import LineageGraph
from heritage.lineage.nodes import Edge, node_of_version
from heritage.names import printable
from heritage.records import Manifest, ModelVersion, Origin, ParentEdge
from heritage.recovery.results import RecoveredFamily
from heritage.recovery.statistics import faults

Record = dict[str, Any]


def process(ctx: Context, address: str, dry_run: bool = False) -> Record:
    """Find the place of one version among all others; see `ingest.run`."""
    return ingest.run(ctx, address, dry_run)


def rebuild_tree(ctx: Context, family: str, weights: bool = False, dry_run: bool = False) -> Record:
    """Recover the parents of all members of a family again; see `rebuild.run`."""
    return rebuild.run(ctx, family, weights, dry_run)


def recluster_all(ctx: Context, reset: bool = False, dry_run: bool = False) -> Record:
    """Find all families and their trees again, with `reset` from nothing; see `recluster.run`."""
    return recluster.run(ctx, reset, dry_run)


def genealogy(ctx: Context, family: str) -> Record:
    """One family: `family` (id, number of contents), `models`, `tree` (roots, edges), `statistics`.

    A model has address, digest, aliases, parents and children (edges with relation, origin, confidence, and weaker
    records of the same pair as `evidence`). Raises `NotFound` for a family that no version belongs to.
    """
    members = members_of(ctx, family)
    manifests = manifests_of(ctx, members)
    label = labels(members)
    parents = {digest: manifests[digest].parents if digest in manifests else () for digest in members}
    tree = tree_of(family, parents)
    edges = [edge for digest in members for edge in edge_records(digest, parents[digest], label)]
    return {
        "family": {"id": family, "contents": len(members)},
        "models": [_model(version, edges, label) for version in members.values()],
        "tree": {"roots": [label[root] for root in tree.roots], "edges": edges},
        "statistics": statistics_of(tree),
    }


def family_graph(ctx: Context, family: str) -> LineageGraph:
    """The tree of a family to be drawn: its members, and of each the edges that are believed."""
    members = members_of(ctx, family)
    own = {d: [e for e in m.parents if e.digest in members] for d, m in manifests_of(ctx, members).items()}
    edges, _ = acyclic(Edge(digest, edge) for digest, parents in own.items() for edge in believed(parents))
    return LineageGraph(map(node_of_version, members.values()), edges)


def lineage(ctx: Context, address: str) -> Record:
    """One version: `ancestors` and `descendants` (address, digest, distance, nearest first) and the `edges` between
    them, with `parents` and `children` of the version itself. Raises `NotFound`, `BadInput` before it was ingested.
    """
    version = ctx.registry.version(address)
    if not version.digest:
        raise BadInput(f"{printable(version.address)} is not ingested yet; run: heritage ingest {version.address}")
    members = canonical([*ctx.registry.versions(), version])
    indexed = tagged_graph(members)
    near = {version.digest, *indexed.ancestors(version.digest), *indexed.descendants(version.digest)}
    chosen = {digest: members[digest] for digest in near if digest in members}
    manifests = manifests_of(ctx, chosen)
    label = labels(members)
    graph = _graph(chosen, manifests)
    edges = [edge for digest, m in manifests.items() for edge in edge_records(digest, m.parents, label)]
    return {
        "address": printable(version.address),
        "digest": version.digest,
        "family": family_of(version),
        "parents": [edge for edge in edges if edge["child_digest"] == version.digest],
        "children": [edge for edge in edges if edge["parent_digest"] == version.digest],
        "ancestors": _reached(graph, version.digest, label, up=True),
        "descendants": _reached(graph, version.digest, label, up=False),
        "edges": edges,
    }


def statistics(ctx: Context) -> Record:
    """The whole registry: numbers of versions and families, `families` largest first, how far ingestion got
    (`processed`, `pending`, `problems`, `success_rate` of those looked at), mean confidence of recovered edges (None
    without any), relations, origins, and how many trees are valid. `quality` is what the last recluster found, or None.
    """
    versions = list(ctx.registry.versions())
    members = canonical(versions)
    edges = tagged_edges(members)
    trees = _trees(members, edges)
    placed = sum(PLACED_TAG in v.tags for v in versions)
    problems = [_problem(v) for v in versions if PROBLEM_TAG in v.tags]
    sure = [e.record.confidence for e in edges if e.record.origin is Origin.RECOVERED]
    return {
        "versions": len(versions),
        "contents": len(members),
        "families": [_family(tree) for tree in trees],
        "family_sizes": [len(tree.members) for tree in trees],
        "processed": placed,
        "pending": len(versions) - placed - len(problems),
        "problems": problems,
        "success_rate": placed / (placed + len(problems)) if placed or problems else None,
        "mean_confidence": sum(sure) / len(sure) if sure else None,
        "relations": dict(sorted(Counter(e.record.relation.value for e in edges).items())),
        "origins": dict(sorted(Counter(e.record.origin.value for e in edges).items())),
        "valid_trees": sum(not faults(tree) for tree in trees) / len(trees) if trees else None,
        "quality": current(ctx).get("quality"),
    }


def _trees(members: Mapping[str, ModelVersion], edges: Iterable[Edge]) -> list[RecoveredFamily]:
    """The tree of every family, largest first."""
    parents: dict[str, list[ParentEdge]] = {digest: [] for digest in members}
    for edge in edges:
        parents[edge.child].append(edge.record)
    families: dict[str, dict[str, list[ParentEdge]]] = {}
    for digest, version in members.items():
        if family_of(version):
            families.setdefault(family_of(version), {})[digest] = parents[digest]
    trees = [tree_of(family, own) for family, own in families.items()]
    return sorted(trees, key=lambda tree: (-len(tree.members), tree.id))


def _family(tree: RecoveredFamily) -> Record:
    found = statistics_of(tree)
    return {"id": printable(tree.id), **{k: found[k] for k in ("members", "roots", "depth", "valid")}}


def _problem(version: ModelVersion) -> Record:
    return {"address": printable(version.address), "problem": printable(version.tags[PROBLEM_TAG], 1000)}


def _model(version: ModelVersion, edges: Iterable[Record], label: Mapping[str, str]) -> Record:
    return {
        "address": label[version.digest],
        "name": printable(version.name),
        "version": version.version,
        "digest": version.digest,
        "aliases": list(version.aliases),
        "created_at_ms": version.created_at_ms,
        "parents": [edge for edge in edges if edge["child_digest"] == version.digest],
        "children": [edge["child"] for edge in edges if edge["parent_digest"] == version.digest],
    }


def _graph(versions: Mapping[str, ModelVersion], manifests: Mapping[str, Manifest]) -> LineageGraph:
    edges, _ = acyclic(Edge(digest, record) for digest, m in manifests.items() for record in m.parents)
    return LineageGraph(map(node_of_version, versions.values()), edges)


def _reached(graph: LineageGraph, digest: str, label: Mapping[str, str], up: bool) -> list[Record]:
    steps = graph.parents if up else graph.children
    found: dict[str, int] = {}
    level, distance = [digest], 0
    while level:
        distance += 1
        level = [d for d in dict.fromkeys(x for node in level for x in steps(node)) if d not in found and d != digest]
        found |= dict.fromkeys(level, distance)
    return [
        {"address": label.get(d, d[:12]), "digest": d, "distance": n, "registered": graph.node(d).present}
        for d, n in found.items()
    ]
