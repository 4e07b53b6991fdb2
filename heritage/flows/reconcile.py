"""What was said about a version's parents, and what its weights tell, side by side in one manifest.

What people and processes said stays as it is. The weights' word is a record of its own (origin `recovered`): of the
same parent it is evidence, of another one a contradiction that the audit shows with both sides. A confidence of 0
says that the weights show no relation to a parent that was named.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from heritage.lineage.contradictions import contradictions, is_proved
from heritage.lineage.findings import Kind
from heritage.records import Manifest, ModelVersion, Origin, ParentEdge, Relation, Transformation
from heritage.recovery.results import RecoveredEdge

MIN_CONFIDENCE = 0.9  # below it a recovered edge contradicts nothing, as in the audit
_CONTRADICTIONS = frozenset(
    [Kind.PARENT_CONTRADICTED, Kind.RELATION_CONTRADICTED, Kind.REVERSED, Kind.PARENT_UNRELATED]
)
# a student is trained from scratch: its weights owe its teacher nothing
WITHOUT_WEIGHTS = frozenset([Relation.DISTILL])


def recovered_edge(edge: RecoveredEdge, parent: ModelVersion, evidence: str) -> ParentEdge:
    """`edge` as a manifest holds it; `evidence` is what it was told from: 'weights' or 'fingerprints'."""
    how = Transformation("recovered", {"reason": edge.reason, "evidence": evidence})
    confidence = round(min(max(edge.confidence, 0.0), 1.0), 4)
    return ParentEdge(
        parent.digest, Relation(edge.relation), Origin.RECOVERED, confidence, parent.name, parent.version, how
    )


def unrelated(said: ParentEdge, evidence: str) -> ParentEdge:
    """The record that the weights show no relation to the parent of `said`."""
    how = Transformation("recovered", {"reason": "unrelated weights", "evidence": evidence})
    return ParentEdge(said.digest, Relation.UNKNOWN, Origin.RECOVERED, 0.0, said.name, said.version, how)


def said(parents: Iterable[ParentEdge]) -> tuple[ParentEdge, ...]:
    """Those that somebody declared or attested."""
    return tuple(edge for edge in parents if edge.origin is not Origin.RECOVERED)


def recovered(parents: Iterable[ParentEdge]) -> tuple[ParentEdge, ...]:
    """Those that were told from weights."""
    return tuple(edge for edge in parents if edge.origin is Origin.RECOVERED)


def reconcile(parents: Iterable[ParentEdge], found: Iterable[ParentEdge]) -> tuple[ParentEdge, ...]:
    """`parents` with their recovered edges replaced by those `found` now; what was said is never touched.

    Weights show more than fingerprints: what they proved stays where fingerprints prove nothing, and an edge that
    fingerprints find again keeps the record of the weights.
    """
    known, now = list(parents), tuple(found)
    before = {edge.digest: edge for edge in recovered(known) if edge.confidence > 0}
    if before and _proved(before.values()) and not _proved(now):
        now = tuple(before.values())
    kept = [before[e.digest] if e.digest in before and _adds_nothing(e, before[e.digest]) else e for e in now]
    return (*said(known), *sorted(kept, key=lambda e: (-e.confidence, e.digest)))


def agreements(parents: Iterable[ParentEdge]) -> list[str]:
    """Digests of parents that somebody named and that the weights confirm."""
    known = list(parents)
    named = {edge.digest for edge in said(known)}
    return sorted(edge.digest for edge in recovered(known) if edge.digest in named and edge.confidence > 0)


def findings(
    version: ModelVersion, manifest: Manifest, others: Mapping[str, tuple[ModelVersion, Manifest]]
) -> list[dict[str, Any]]:
    """What the audit says about `manifest` against its weights, as JSON values; `others` are its parents."""
    pairs = [(version, manifest), *(pair for digest, pair in others.items() if digest != manifest.digest)]
    found = [f for f in contradictions(pairs, MIN_CONFIDENCE) if f.kind in _CONTRADICTIONS]
    return [f.record() for f in sorted(found) if f.model == version.address]


def _proved(edges: Iterable[ParentEdge]) -> bool:
    """Whether weights themselves prove these edges, by a mask, a grid, a rank or a mean."""
    sure = [edge for edge in edges if edge.confidence > 0]
    return bool(sure) and all(_evidence(e) == "weights" and is_proved(e) for e in sure)


def _adds_nothing(new: ParentEdge, old: ParentEdge) -> bool:
    return new.confidence > 0 and _evidence(old) == "weights" and _evidence(new) == "fingerprints"


def _evidence(edge: ParentEdge) -> str:
    return str(edge.transformation.parameters.get("evidence", ""))
