"""Findings about the index: a copy of what the manifests tell, which must tell the same."""

from collections.abc import Collection, Iterable, Iterator

from heritage.lineage.findings import Finding, Kind, Severity
from heritage.lineage.nodes import Address, Edge, Node
from heritage.lineage.tags import edge_tag
from heritage.names import printable
from heritage.records import Manifest, ModelVersion


def against_index(
    pairs: Iterable[tuple[ModelVersion, Manifest]],
    nodes: Iterable[Node],
    edges: Iterable[Edge],
    claimed: Collection[str] = (),
) -> Iterator[Finding]:
    """What `nodes` and `edges` of an index tell otherwise than the `pairs` of version and manifest.

    A version that is not indexed yet is a note; one that is gone, another content or other edges are errors. The
    edges of the contents `claimed` come from tags alone, which the audit compares with manifests anyway.
    """
    known = {(v.name, v.version): m for v, m in pairs}
    indexed: dict[Address, str] = {address: node.digest for node in nodes for address in node.versions}
    told: dict[str, set[str]] = {}
    for edge in edges:
        told.setdefault(edge.child, set()).add(_shown(edge))
    for address in sorted(known.keys() | indexed.keys()):
        manifest, digest = known.get(address), indexed.get(address)
        model = "/".join(address)
        if digest is None:
            yield Finding(Kind.INDEX_MISMATCH, Severity.NOTE, model, "it is not in the index yet")
        elif manifest is None:
            detail = "the index tells a version that has no sound manifest, or is gone"
            yield Finding(Kind.INDEX_MISMATCH, Severity.ERROR, model, detail, claimed=digest)
        elif manifest.digest != digest:
            detail = "the index tells another content than the manifest"
            yield Finding(Kind.INDEX_MISMATCH, Severity.ERROR, model, detail, manifest.digest, digest)
    for model, recorded, found in _edges(known, indexed, told, claimed):
        detail = "the index tells other parents than the manifest"
        yield Finding(Kind.INDEX_MISMATCH, Severity.ERROR, model, detail, recorded, found)


def _edges(
    known: dict[Address, Manifest], indexed: dict[Address, str], told: dict[str, set[str]], claimed: Collection[str]
) -> Iterator[tuple[str, str, str]]:
    """Address, parents of the manifests and parents of the index, for each content where they differ."""
    recorded: dict[str, set[str]] = {}
    first: dict[str, Address] = {}
    for address, manifest in sorted(known.items()):
        if indexed.get(address) == manifest.digest:
            first.setdefault(manifest.digest, address)
            own = {_shown(Edge(manifest.digest, record)) for record in manifest.parents}
            recorded.setdefault(manifest.digest, set()).update(own)
    for digest, address in first.items():
        if digest not in claimed and recorded[digest] != told.get(digest, set()):
            yield "/".join(address), _joined(recorded[digest]), _joined(told.get(digest, set()))


def _joined(edges: set[str]) -> str:
    return printable("; ".join(sorted(edges)) or "none", 1000)


def _shown(edge: Edge) -> str:
    return f"{edge.parent[:12]} {edge_tag(edge.record)[1]}"
