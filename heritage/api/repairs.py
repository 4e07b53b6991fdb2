"""Repairs and validations: what the search found and what the gate said."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from heritage.api.answers import RepairCard, RepairDetail, RepairLinks, RepairList
from heritage.api.catalogue import Catalogue
from heritage.api.cursor import after, offset_of
from heritage.api.faults import documented
from heritage.api.runs import PROMOTE
from heritage.api.services import Cursor, Services, Text
from heritage.errors import NotFound
from heritage.flows.context import Context

REPAIR_TAG = "heritage.repair"


def routes(services: Services) -> APIRouter:
    """The router."""
    router = APIRouter(prefix="/api/repairs", tags=["repairs"])

    @router.get("", responses=documented())
    def repairs(
        model: Text = "",
        decision: Text = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        cursor: Cursor = "",
    ) -> RepairList:
        """Repairs and validations, newest window first."""
        offset = offset_of(cursor)
        with services.follower.catalogue() as catalogue:
            rows = _rows(catalogue, {"model": model, "decision": decision}, limit + 1, offset)
        shown = rows[:limit]
        return RepairList(repairs=tuple(shown), next=after(offset, len(shown), len(rows) > limit))

    @router.get("/{plan}", responses=documented(404))
    def repair(plan: Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="hash of the plan")]) -> RepairDetail:
        """One repair in full."""
        with services.follower.catalogue() as catalogue:
            found = catalogue.ask("SELECT record FROM repair WHERE plan = ?", [plan])
        if not found:
            raise NotFound(f"there is no repair with the plan {plan[:12]}")
        decision = json.loads(found[0][0])
        challenger = _challenger(services.context, plan, decision)
        name, _, number = challenger.rpartition("/")
        return RepairDetail(
            repair=_card(plan, decision),
            decision=decision,
            plan=_file(services.context, plan, "plan.json"),
            evidence=_file(services.context, plan, "evidence.json"),
            challenger=challenger,
            links=RepairLinks(
                mlflow=services.links.version(name, number) if challenger else "",
                approval=_approval(services) if challenger else "",
            ),
        )

    return router


def _approval(services: Services) -> str:
    """Where Airflow asks for the approvals that nobody gave yet."""
    page = services.links.dag(PROMOTE)
    return f"{page}/required_actions?response_received=false" if page else ""


def _rows(catalogue: Catalogue, wanted: dict[str, str], limit: int, offset: int) -> list[RepairCard]:
    given = {column: value for column, value in wanted.items() if value}
    clause = " AND ".join(["1", *(f"{column} = ?" for column in given)])
    asked = f"SELECT plan, record FROM repair WHERE {clause} ORDER BY window DESC, plan LIMIT ? OFFSET ?"  # noqa: S608
    return [_card(plan, json.loads(record)) for plan, record in catalogue.ask(asked, [*given.values(), limit, offset])]


def _card(plan: str, record: dict[str, Any]) -> RepairCard:
    """A decision in short; it was read from storage, so any field may be missing."""
    gate = record.get("gate") if isinstance(record.get("gate"), dict) else {}
    assert gate is not None
    texts = {name: str(record.get(name, "")) for name in ("model", "window", "champion", "decision", "rung", "reason")}
    figures = {name: _number(gate.get(name)) for name in ("before", "after", "gain")}
    # a validation looks at a version that somebody made, so there is no rung
    return RepairCard(plan=plan, kind="repair" if texts["rung"] else "validation", **texts, **figures)  # type: ignore[arg-type]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value == value else None


def _file(ctx: Context, plan: str, name: str) -> dict[str, Any] | None:
    """A file beside the decision; a validation has no plan, and what was decided long ago no evidence."""
    try:
        found = json.loads(ctx.store.get(f"repairs/{plan}/{name}"))
    except (NotFound, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _challenger(ctx: Context, plan: str, decision: dict[str, Any]) -> str:
    """The version that was registered under the plan, or that was validated; '' for none."""
    if address := str(decision.get("address", "")):
        return address
    model = str(decision.get("model", ""))
    try:
        found = (
            [v.address for v in ctx.registry.versions(name=model) if v.tags.get(REPAIR_TAG) == plan] if model else []
        )
    except NotFound:
        return ""
    return found[0] if found else ""
