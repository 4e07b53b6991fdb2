"""What the last audit found."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from heritage.api.answers import Audit, Finding
from heritage.api.cursor import after, offset_of
from heritage.api.faults import documented
from heritage.api.services import Cursor, Services, Text
from heritage.flows import audit

_FIELDS = ("id", "kind", "severity", "subject", "message", "remedy")


def routes(services: Services) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/api/audit", tags=["audit"])

    @router.get("", responses=documented())
    def findings(
        severity: Literal["", "error", "warning", "note"] = "",
        kind: Text = "",
        model: Text = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
        cursor: Cursor = "",
    ) -> Audit:
        """Findings, worst first; those of one version where `model` is name/version."""
        offset = offset_of(cursor)
        stored = audit.stored(services.context) or {}
        wanted = {"severity": severity, "kind": kind, "subject": model}
        fitting = [
            finding
            for finding in stored.get("findings", [])
            if all(not value or finding.get(name) == value for name, value in wanted.items())
        ]
        shown = fitting[offset : offset + limit]
        return Audit(
            findings=tuple(_finding(finding) for finding in shown),
            counts={name: int(count) for name, count in stored.get("counts", {}).items()},
            total=len(fitting),
            audited_at=str(stored.get("at", "")),
            next=after(offset, len(shown), offset + len(shown) < len(fitting)),
        )

    return router


def _finding(record: dict[str, Any]) -> Finding:
    texts = {name: str(record.get(name, "")) for name in _FIELDS}
    return Finding(**texts, sides=dict(record.get("sides") or {}))
