"""What is worth telling of a version: identity, parents, children, the tree around it, verdict, repair, signature."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from heritage.drift.verdict import Verdict
from heritage.errors import HeritageError, NotFound
from heritage.flows import windows
from heritage.flows.context import Context
from heritage.flows.trees import canonical, tagged_graph
from heritage.lineage.excerpt import excerpt
from heritage.lineage.graph import LineageGraph
from heritage.lineage.tags import strength
from heritage.names import check_digest, check_name, printable
from heritage.records import Manifest, ModelVersion
from heritage.registry import FAMILY

DRIFT_TAG = "heritage.drift"
_CHILDREN = 20
_FAMILY = 60  # members that are read for one story: a request a model


@dataclass(frozen=True, slots=True)
class Kin:
    """A parent or child: its address ('' where it is not registered), how it is related, and how that is known."""

    address: str
    digest: str
    relation: str
    origin: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Facts:
    """All text is as found and not escaped. `verdict` and `repair` are what the flows stored, {} where nothing was."""

    version: ModelVersion
    manifest: Manifest
    family: str
    parents: tuple[Kin, ...]
    children: tuple[Kin, ...]
    more_children: int
    tree: tuple[str, ...]
    verdict: Mapping[str, Any] = field(default_factory=dict)
    repair: Mapping[str, Any] = field(default_factory=dict)
    signed_by: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Family:
    """The versions of one family by content, and their lineage as their tags tell it."""

    members: Mapping[str, ModelVersion]
    graph: LineageGraph

    @classmethod
    def of(cls, versions: Iterable[ModelVersion]) -> "Family":
        """The family of `versions`."""
        members = canonical(versions)
        return cls(members, tagged_graph(members))


def family_of(ctx: Context, version: ModelVersion, manifest: Manifest) -> Family:
    """The family that the version's tag names, read from the registry; of a large one the version's near relatives."""
    try:
        name = check_name(version.tags.get(FAMILY, ""), "family")
    except HeritageError:
        return Family.of(_near(ctx, version, manifest))
    members = list(islice(ctx.registry.versions(family=name), _FAMILY + 1))
    return Family.of([*members, version] if len(members) <= _FAMILY else _near(ctx, version, manifest))


def _near(ctx: Context, version: ModelVersion, manifest: Manifest) -> list[ModelVersion]:
    """The version, some of its children, and its ancestors, read one by one."""
    found = [version, *islice(ctx.registry.versions(parent=version.digest), _CHILDREN + 1)]
    waiting, seen = [edge.digest for edge in manifest.parents], {version.digest}
    while waiting and len(seen) < _FAMILY:
        digest = waiting.pop(0)
        if digest in seen:
            continue
        seen.add(digest)
        own = list(islice(ctx.registry.versions(digest=digest), 3))
        found += own
        above = next((e.manifest for e in ctx.registry.entries(own) if e.manifest), None)
        waiting += [edge.digest for edge in above.parents] if above else []
    return found


def facts_of(ctx: Context, version: ModelVersion, manifest: Manifest, family: Family) -> Facts:
    """What is known of the version; reads the verdict and the repair that its tags name."""
    # under a second address the content's own node tells the tree
    children = _children(family, version.digest)
    marks = {digest: _mark(member) for digest, member in family.members.items() if _mark(member)}
    known = version.digest in family.graph
    return Facts(
        version=version,
        manifest=manifest,
        family=version.tags.get(FAMILY, ""),
        parents=tuple(_parents(manifest, family.members)),
        children=tuple(children[:_CHILDREN]),
        more_children=len(children) - len(children[:_CHILDREN]),
        tree=tuple(excerpt(family.graph, version.digest, marks)) if known else (),
        verdict=_verdict(ctx, version),
        repair=_repair(ctx, version),
        signed_by=version.tags.get("heritage.signed", ""),
    )


def _parents(manifest: Manifest, members: Mapping[str, ModelVersion]) -> Iterable[Kin]:
    for edge in sorted(manifest.parents, key=strength, reverse=True):
        told = f"{edge.name}/{edge.version}".strip("/")
        address = members[edge.digest].address if edge.digest in members else told
        yield Kin(address, edge.digest, edge.relation.value, edge.origin.value, edge.confidence)


def _children(family: Family, digest: str) -> list[Kin]:
    if digest not in family.graph:
        return []
    near = sorted(family.graph.children(digest), key=lambda d: (family.graph.node(d).created_at, d))
    edges = [(d, family.graph.edges_between(d, digest)[0]) for d in near]
    return [
        Kin(family.members[d].address if d in family.members else "", d, e.relation.value, e.origin.value, e.confidence)
        for d, e in edges
    ]


def _mark(version: ModelVersion) -> str:
    """Aliases, and the last verdict where it is none to be calm about."""
    status = version.tags.get(DRIFT_TAG, "").partition(":")[0]
    return ", ".join([*sorted(version.aliases), *([status] if status in ("drift", "warning", "schema") else [])])


def _verdict(ctx: Context, version: ModelVersion) -> dict[str, Any]:
    """The verdict that the version's tag names: status, window, and `verdict` where it can be read."""
    status, _, window = version.tags.get(DRIFT_TAG, "").partition(":")
    if not window:
        return {}
    found: dict[str, Any] = {"status": status, "window": window, "verdict": None}
    try:
        key = f"{windows.prefix('verdicts', version, check_name(window, 'window'))}verdict.json"
        found["verdict"] = Verdict.from_record(json.loads(ctx.store.get(key))["verdict"], key)
    except (HeritageError, ValueError, KeyError, TypeError):  # the tag stands alone then
        return found
    return found


def _repair(ctx: Context, version: ModelVersion) -> dict[str, Any]:
    """The decision of the repair that made the version."""
    plan = version.tags.get("heritage.repair", "")
    if not plan:
        return {}
    try:
        found: dict[str, Any] = json.loads(ctx.store.get(f"repairs/{check_digest(plan)}/decision.json"))
    except (NotFound, ValueError, HeritageError):
        return {"plan": printable(plan, 64)}
    return found if isinstance(found, dict) else {"plan": plan}
