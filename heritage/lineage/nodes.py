"""Nodes and edges of the lineage graph, and how a node comes from a manifest or a registered version."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from heritage.records import Architecture, Manifest, ModelVersion, ParentEdge

Address = tuple[str, str]  # model name and version


@dataclass(frozen=True, slots=True)
class Node:
    """One content: `versions` are the (name, version) addresses it is registered under, possibly several.

    `signature` is that of its training data, `architecture` a key that equal architectures share, `created_at`
    ISO 8601 in UTC; each '' where unknown. `present` is false for a parent that nobody registered.
    """

    digest: str
    versions: tuple[Address, ...] = ()
    signature: str = ""
    architecture: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    created_at: str = ""
    present: bool = True

    @property
    def label(self) -> str:
        """What people call it: its first address, else the beginning of its digest."""
        return "/".join(self.versions[0]) if self.versions else self.digest[:12]


@dataclass(frozen=True, slots=True)
class Edge:
    """A lineage edge: `child` is a digest, `record` the parent as the child's manifest holds it."""

    child: str
    record: ParentEdge

    @property
    def parent(self) -> str:
        """Digest of the parent."""
        return self.record.digest


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts over a graph; `depth` is that of its deepest node, `relations` and `origins` count edges."""

    contents: int
    versions: int
    absent: int
    edges: int
    families: int
    roots: int
    merges: int
    depth: int
    most_children: int
    relations: Mapping[str, int]
    origins: Mapping[str, int]


def architecture_key(architecture: Architecture | None) -> str:
    """A short text that is equal for equal architectures: builder and a digest of its arguments; '' for none."""
    if architecture is None:
        return ""
    kwargs = json.dumps(architecture.kwargs, sort_keys=True, default=list)
    return f"{architecture.builder}#{hashlib.sha256(kwargs.encode()).hexdigest()[:12]}"


def node_of(manifest: Manifest, versions: tuple[Address, ...] = ()) -> Node:
    """The node that `manifest` describes."""
    return Node(
        digest=manifest.digest,
        versions=versions,
        signature=manifest.training_data.signature if manifest.training_data else "",
        architecture=architecture_key(manifest.architecture),
        metrics=manifest.metrics,
        created_at=manifest.created_at,
    )


def node_of_version(version: ModelVersion) -> Node:
    """The node of a version of which only the registry's entry is known."""
    created = datetime.fromtimestamp(version.created_at_ms / 1000, UTC).isoformat() if version.created_at_ms else ""
    return Node(version.digest, ((version.name, version.version),), created_at=created)


def joined(one: Node, other: Node) -> Node:
    """All that two nodes of one content tell, whichever comes first; where they differ, the older and smaller value."""
    return Node(
        digest=one.digest,
        versions=tuple(sorted({*one.versions, *other.versions}, key=_address_order)),
        signature=_either(one.signature, other.signature),
        architecture=_either(one.architecture, other.architecture),
        metrics=min(filter(None, (one.metrics, other.metrics)), key=lambda m: sorted(m.items()), default={}),
        created_at=_either(one.created_at, other.created_at),
        present=one.present or other.present,
    )


def _either(one: str, other: str) -> str:
    return min(filter(None, (one, other)), default="")


def _address_order(address: Address) -> tuple[str, int, str]:
    name, version = address
    return name, len(version), version  # version numbers by value: 2 before 10
