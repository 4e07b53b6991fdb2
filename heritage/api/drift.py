"""What was seen of drift: the fleet, and the windows of one version."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from fastapi import APIRouter, Query

from heritage.api import find
from heritage.api.answers import ColumnFigures, DriftHistory, FleetDrift, VerdictCard
from heritage.api.cursor import after, offset_of
from heritage.api.faults import documented
from heritage.api.models import Address
from heritage.api.refresh import short
from heritage.api.services import Cursor, Services
from heritage.drift.comparison import ColumnVerdict
from heritage.drift.verdict import Verdict
from heritage.errors import BadInput, NotFound
from heritage.flows import judgements, windows
from heritage.flows.context import Context
from heritage.names import check_name
from heritage.records import ModelVersion

_READERS = 8
_LEVELS = ("drift", "warning", "ok", "insufficient")
_SERIES = ("psi", "psi_debiased", "kl", "js", "ks", "effect")


def routes(services: Services) -> APIRouter:
    """The router."""
    router = APIRouter(tags=["drift"])

    @router.get("/api/drift", responses=documented())
    def fleet(limit: Annotated[int, Query(ge=1, le=500)] = 100, cursor: Cursor = "") -> FleetDrift:
        """Judged versions, worst first."""
        offset = offset_of(cursor)
        with services.follower.catalogue() as catalogue:
            rows, more = find.worst(catalogue, limit, offset)
        return FleetDrift(models=tuple(rows), next=after(offset, len(rows), more))

    @router.get("/api/models/{id:path}/drift", responses=documented(404))
    def history(
        id: Address,
        windows: Annotated[int, Query(ge=1, le=500, description="how many of the newest")] = 48,
        columns: Annotated[int, Query(ge=0, le=100, description="how many series")] = 12,
        column: Annotated[list[str], Query(max_length=100, description="these series instead")] = [],  # noqa: B006
    ) -> DriftHistory:
        """The newest windows of a version and the figures of its columns."""
        with services.follower.catalogue() as catalogue:
            found = find.version(catalogue, id)
        # storage knows a version by its name and number; a name that heritage would not write has no windows
        version = ModelVersion(check_name(found.card.name), found.card.version, found.card.digest, found.run_id, "")
        verdicts = newest(services.context, version, windows)
        report = f"heritage/drift/{_last_report(verdicts)}.html" if _last_report(verdicts) else ""
        return DriftHistory(
            address=found.card.address,
            timeline=tuple(VerdictCard(**short(verdict)) for verdict in verdicts),
            columns=_figures(verdicts[-1]) if verdicts else (),
            series=_series(verdicts, column or _worst_columns(verdicts, columns)),
            performance=None
            if not verdicts or verdicts[-1].performance is None
            else verdicts[-1].performance.to_json(),
            report=services.links.artifact(found.run_id, report) if report and found.run_id else "",
        )

    return router


def newest(ctx: Context, version: ModelVersion, count: int) -> list[Verdict]:
    """The verdicts on the newest `count` windows that were judged, oldest first."""
    names = windows.listed(ctx, version, "verdicts")[-count:]
    with ThreadPoolExecutor(_READERS, "heritage-verdicts") as pool:
        found = list(pool.map(lambda window: judged(ctx, version, window), names))
    return [verdict for verdict in found if verdict is not None]


def judged(ctx: Context, version: ModelVersion, window: str) -> Verdict | None:
    """The verdict on one window; None where there is no readable one."""
    key = judgements.verdict_key(version, window)
    try:
        return Verdict.from_record(json.loads(ctx.store.get(key))["verdict"], key)
    except (NotFound, BadInput, ValueError, KeyError, TypeError):
        return None


def _last_report(verdicts: Sequence[Verdict]) -> str:
    """The newest window of which a page was drawn."""
    return next((v.window for v in reversed(verdicts) if v.status in ("warning", "drift")), "")


def _figures(verdict: Verdict) -> tuple[ColumnFigures, ...]:
    ranked = sorted(verdict.columns.items(), key=lambda item: (_LEVELS.index(item[1].level), -_effect(item[1])))
    return tuple(
        ColumnFigures(
            name=name, family=column.family.value, level=column.level, drifted=column.drifted,
            **{figure: _figure(column, figure) for figure in _SERIES},
        )
        for name, column in ranked
    )  # fmt: skip


def _worst_columns(verdicts: Sequence[Verdict], count: int) -> list[str]:
    """The columns with the largest effect in any of the windows."""
    largest: dict[str, float] = {}
    for verdict in verdicts:
        for name, column in verdict.columns.items():
            largest[name] = max(largest.get(name, 0.0), _effect(column))
    return sorted(largest, key=lambda name: (-largest[name], name))[:count]


def _series(verdicts: Sequence[Verdict], columns: Sequence[str]) -> dict[str, Any]:
    known = [name for name in columns if any(name in verdict.columns for verdict in verdicts)]
    return {
        name: {
            figure: tuple(_figure(v.columns[name], figure) if name in v.columns else None for v in verdicts)
            for figure in _SERIES
        }
        for name in known
    }


def _figure(column: ColumnVerdict, figure: str) -> float | None:
    value = float(column.ks.low if figure == "ks" else getattr(column, figure))
    return None if value != value else value


def _effect(column: ColumnVerdict) -> float:
    return _figure(column, "effect") or 0.0
