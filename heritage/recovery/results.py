"""What a recovery finds, by names of models."""

from dataclasses import dataclass
from typing import Any

from heritage.recovery.models import Skipped


@dataclass(frozen=True, slots=True)
class RecoveredEdge:
    """A lineage edge between models by name."""

    parent: str
    child: str
    relation: str
    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class RecoveredFamily:
    """One family: its id, members by name, edges, and the root (none where it is not among the members)."""

    id: str
    members: tuple[str, ...]
    edges: tuple[RecoveredEdge, ...]
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was recovered from a set of models."""

    families: tuple[RecoveredFamily, ...]
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Families, edges and roots as JSON values."""
        return {
            "families": [{"id": f.id, "members": list(f.members)} for f in self.families],
            "edges": [
                {"parent": e.parent, "child": e.child, "relation": e.relation, "confidence": round(e.confidence, 4)}
                for f in self.families
                for e in f.edges
            ],
            "roots": [r for f in self.families for r in f.roots],
        }
