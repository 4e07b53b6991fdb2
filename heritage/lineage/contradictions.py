"""What manifests say against one another, once they are put together: circles, lost parents, contradicted ancestry."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from heritage.lineage.cycles import find_cycles
from heritage.lineage.findings import Finding, Kind, Severity
from heritage.lineage.nodes import Edge, architecture_key
from heritage.lineage.tags import edge_tag
from heritage.names import printable
from heritage.records import Manifest, ModelVersion, Origin, ParentEdge, Relation

# distilling may train any student, and of an unknown relation nothing is promised
_KEEPS_ARCHITECTURE = frozenset(Relation) - {Relation.DISTILL, Relation.UNKNOWN}
# a repair is made by adding weights of relatives, which looks like any of these
_LOOKS_OF_A_REPAIR = frozenset([Relation.FINETUNE, Relation.LORA, Relation.MERGE, Relation.COPY])
_PROVED = 0.97
# what shows that one descends from the other or the reverse, but proves neither
_UNPROVED = frozenset(["cues", "low rank"])
_PATH_SHOWN = 12


@dataclass(frozen=True, slots=True)
class _Records:
    """All manifests by content; several versions may hold the same content."""

    pairs: tuple[tuple[ModelVersion, Manifest], ...]
    by_digest: dict[str, tuple[ModelVersion, Manifest]]

    def label(self, digest: str) -> str:
        """Address of the first version of this content, else the beginning of the digest."""
        return printable(self.by_digest[digest][0].address) if digest in self.by_digest else digest[:12]


def contradictions(pairs: Iterable[tuple[ModelVersion, Manifest]], min_confidence: float) -> Iterator[Finding]:
    """Findings about `pairs` of version and manifest that no version shows alone."""
    ordered = tuple(sorted(pairs, key=lambda p: (p[0].created_at_ms, p[0].address)))
    by_digest: dict[str, tuple[ModelVersion, Manifest]] = {}
    for pair in ordered:
        by_digest.setdefault(pair[1].digest, pair)
    records = _Records(ordered, by_digest)
    yield from _cycles(records)
    for version, manifest in ordered:
        yield from _against_parents(records, version.address, manifest)
        yield from _against_weights(records, version.address, manifest, min_confidence)


def _cycles(records: _Records) -> Iterator[Finding]:
    """Circles in what people and processes said; what weights say against that is told edge by edge."""
    said = [Edge(m.digest, e) for _, m in records.pairs for e in m.parents if e.origin is not Origin.RECOVERED]
    for path in find_cycles(said):
        shown = [records.label(digest) for digest in path]
        if len(shown) > _PATH_SHOWN:
            shown[_PATH_SHOWN // 2 : -_PATH_SHOWN // 2] = [f"... {len(path) - _PATH_SHOWN} more ..."]
        detail = f"{len(path) - 1} versions are their own ancestors" if len(path) > 2 else "names itself as its parent"
        yield Finding(Kind.CYCLE, Severity.ERROR, records.label(path[0]), detail, " <- ".join(shown))


def _against_parents(records: _Records, model: str, manifest: Manifest) -> Iterator[Finding]:
    """Each edge of `manifest` against the parent's own manifest."""
    for edge in manifest.parents:
        parent = records.by_digest.get(edge.digest)
        if parent is None:
            told = f"{edge.name}/{edge.version}".strip("/")
            detail = f"parent {edge.digest[:12]} {f'({printable(told)}) ' if told else ''}is not registered"
            yield Finding(Kind.ORPHAN, Severity.WARNING, model, detail, _shown(edge))
            continue
        yield from _architecture(model, manifest, edge, *parent)
        theirs, ours = parent[1].created_at, manifest.created_at
        # a parent may well be registered after its child: only who names it should have known
        if edge.origin is not Origin.RECOVERED and datetime.fromisoformat(ours) < datetime.fromisoformat(theirs):
            detail = f"made before its parent {records.label(edge.digest)}"
            yield Finding(Kind.OLDER_THAN_PARENT, Severity.WARNING, model, detail, ours, theirs)


def _architecture(
    model: str, manifest: Manifest, edge: ParentEdge, parent: ModelVersion, told: Manifest
) -> Iterator[Finding]:
    ours, theirs = architecture_key(manifest.architecture), architecture_key(told.architecture)
    if edge.relation in _KEEPS_ARCHITECTURE and ours and theirs and ours != theirs:
        detail = f"another architecture than its parent {printable(parent.address)}, called {edge.relation.value}"
        yield Finding(Kind.ARCHITECTURE_CHANGED, Severity.WARNING, model, detail, ours, theirs)


def _against_weights(records: _Records, model: str, manifest: Manifest, min_confidence: float) -> Iterator[Finding]:
    """What was declared or attested of `manifest` against what was recovered from the weights."""
    told = [edge for edge in manifest.parents if edge.origin is not Origin.RECOVERED]
    seen = [e for e in manifest.parents if e.origin is Origin.RECOVERED and e.confidence >= min_confidence]
    parents = {edge.digest for edge in told}
    strangers = [edge for edge in seen if edge.digest not in parents]
    if told and strangers:
        recorded, claimed = ("; ".join(map(_shown, sorted(edges, key=_shown))) for edges in (told, strangers))
        detail = "the weights tell another parent: " + ", ".join(records.label(edge.digest) for edge in strangers)
        yield Finding(Kind.PARENT_CONTRADICTED, _severity(strangers), model, detail, recorded, claimed)
    for edge in seen:
        for said in told:
            if edge.digest == said.digest and _differ(said.relation, edge.relation):
                detail = f"the weights tell another relation to {records.label(edge.digest)}"
                sides = _shown(said), _shown(edge)
                yield Finding(Kind.RELATION_CONTRADICTED, _severity([edge]), model, detail, *sides)
    yield from _unrelated(records, model, manifest, told)
    yield from _reversed(records, model, manifest, told, min_confidence)


def _severity(seen: Iterable[ParentEdge]) -> Severity:
    """A warning where something is proved; else good to know, but no alarm, for cues of direction are often wrong."""
    return Severity.WARNING if any(map(is_proved, seen)) else Severity.NOTE


def is_proved(edge: ParentEdge) -> bool:
    """Whether the weights prove a recovered edge: by a mask, a grid, rounding, a mean of others."""
    return edge.confidence >= _PROVED and edge.transformation.parameters.get("reason") not in _UNPROVED


def _differ(said: Relation, seen: Relation) -> bool:
    if Relation.UNKNOWN in (said, seen) or (said is Relation.REPAIR and seen in _LOOKS_OF_A_REPAIR):
        return False
    return said is not seen


def _unrelated(records: _Records, model: str, manifest: Manifest, told: Iterable[ParentEdge]) -> Iterator[Finding]:
    """Parents that were named and that recovery, which compared the weights, gives no chance at all."""
    denied = {e.digest: e for e in manifest.parents if e.origin is Origin.RECOVERED and e.confidence == 0}
    for edge in told:
        if edge.digest in denied:
            detail = f"the weights show no relation to {records.label(edge.digest)}"
            yield Finding(
                Kind.PARENT_UNRELATED, Severity.WARNING, model, detail, _shown(edge), _shown(denied[edge.digest])
            )


def _reversed(
    records: _Records, model: str, manifest: Manifest, told: list[ParentEdge], min_confidence: float
) -> Iterator[Finding]:
    for said in told:
        _, parent = records.by_digest.get(said.digest, (None, None))
        for edge in parent.parents if parent else ():
            sure = edge.origin is Origin.RECOVERED and edge.confidence >= min_confidence
            if sure and edge.digest == manifest.digest:
                detail = f"the weights tell that {records.label(said.digest)} descends from it, not the reverse"
                yield Finding(Kind.REVERSED, _severity([edge]), model, detail, _shown(said), _shown(edge))


def _shown(edge: ParentEdge) -> str:
    return f"{edge.digest[:12]} {edge_tag(edge)[1]}"
