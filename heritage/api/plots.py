"""Distributions of a version's columns in one window, against its reference."""

from typing import Annotated

from fastapi import APIRouter, Query

from heritage.api import find
from heritage.api.answers import ColumnPlot, ColumnPlots
from heritage.api.drift import judged
from heritage.api.faults import documented
from heritage.api.models import Address
from heritage.api.services import Services
from heritage.drift.verdict import Verdict
from heritage.drift.window import Window
from heritage.errors import NotFound
from heritage.flows import windows
from heritage.flows.context import Context
from heritage.flows.profiles import profile_of
from heritage.names import check_name, printable
from heritage.records import ModelVersion
from heritage.reports.distributions import Distribution, distribution


def routes(services: Services) -> APIRouter:
    """The router."""
    router = APIRouter(tags=["drift"])

    @router.get("/api/models/{id:path}/plots", responses=documented(404))
    def plots(
        id: Address,
        window: Annotated[str, Query(max_length=128, description="id of a judged window")],
        columns: Annotated[int, Query(ge=1, le=64, description="how many, the worst first")] = 12,
    ) -> ColumnPlots:
        """What the version saw in a window beside its reference, column by column, worst first."""
        with services.follower.catalogue() as catalogue:
            found = find.version(catalogue, id)
        version = ModelVersion(check_name(found.card.name), found.card.version, found.card.digest, found.run_id, "")
        shown = _plots(services.context, version, check_name(window, "window"), columns)
        return ColumnPlots(address=found.card.address, window=window, plots=shown)

    return router


def _plots(ctx: Context, version: ModelVersion, window: str, columns: int) -> tuple[ColumnPlot, ...]:
    verdict = judged(ctx, version, window)
    if verdict is None:
        raise NotFound(f"{printable(version.address)}: window {window} was not judged; look at its timeline")
    profile = profile_of(ctx, version)
    seen = Window.empty(profile)
    for key in sorted(ctx.store.list(windows.prefix("windows", version, window))):
        seen = seen.merge(Window.from_bytes(profile, ctx.store.get(key), key))
    ranked = sorted(verdict.columns, key=lambda name: (not verdict.columns[name].drifted, -_effect(verdict, name)))
    wanted = ranked[:columns]
    drawn = {}
    for column in profile.columns:
        counts, start = seen.cells(column), 0
        for part in column.parts:
            if part.name in wanted:
                drawn[part.name] = distribution(part, counts[start : start + len(part.reference)])
            start += len(part.reference)
    return tuple(_plot(name, verdict, drawn[name]) for name in wanted if name in drawn)


def _plot(name: str, verdict: Verdict, shown: Distribution) -> ColumnPlot:
    column = verdict.columns[name]
    return ColumnPlot(
        name=name,
        level=column.level,
        effect=_effect(verdict, name),
        edges=None if shown.edges is None else tuple(shown.edges.tolist()),
        labels=shown.labels,
        reference=tuple(shown.reference.tolist()),
        current=tuple(shown.current.tolist()),
    )


def _effect(verdict: Verdict, name: str) -> float:
    effect = verdict.columns[name].effect
    return effect if effect == effect else 0.0
