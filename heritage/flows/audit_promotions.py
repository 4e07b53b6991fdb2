"""Findings about champions: aliases that are elsewhere than the journal of moves says, and moves left half-way."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from heritage.errors import BadInput, NotFound
from heritage.flows.context import Context
from heritage.lineage.findings import Finding, Kind, Severity

_READERS = 6  # the HTTP client keeps 10 connections


def promotion_findings(ctx: Context) -> Iterator[Finding]:
    """What does not fit together, of every model that has a journal; a handful of requests a model."""
    names = sorted({key.split("/")[1] for key in ctx.store.list("journal/")})
    with ThreadPoolExecutor(_READERS, "heritage-promotions") as pool:
        for found in pool.map(lambda name: _of_one(ctx, name), names):
            yield from found


def _of_one(ctx: Context, name: str) -> list[Finding]:
    try:
        told = ctx.registry.promotion_findings(name)
        last = ctx.registry.history(name)[-1] if told else None
    except (BadInput, NotFound):  # no name of ours, or a model that was deleted: its locked copies tell that
        return []
    subject = "" if last is None else f"{name}/{last.version or last.replaced}"
    return [Finding(Kind.ALIAS_MOVED, Severity.WARNING, subject, each, f"journal/{name}/") for each in told]
