"""One refresh of the catalogue: what changed in MLflow and storage since the last one, and nothing else, is read."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from heritage.api import counts
from heritage.api.catalogue import Card, Catalogue, Known, card_of
from heritage.drift.verdict import Verdict
from heritage.errors import BadInput, NotFound, UnsafeName
from heritage.flows import judgements, plans
from heritage.flows.context import Context
from heritage.names import check_digest
from heritage.records import ModelVersion

_READERS = 8
_BATCH = 500
REFRESHED_AT = "refreshed_at"


def refresh(ctx: Context, catalogue: Catalogue) -> int:
    """Make `catalogue` tell what the registry tells now; gives the number of versions that changed.

    All versions are listed (0.3 ms each through the server), manifests and verdicts are read only where the tags that
    point to them changed. What was written before an outage stays.
    """
    started = ctx.now()
    known = catalogue.known()
    versions = list(ctx.registry.versions())
    gone = known.keys() - {(v.name, int(v.version)) for v in versions}
    catalogue.forget(gone)
    changed = 0
    for part in _changed(known, versions):
        catalogue.put(_cards(ctx, known, part.cards), ctx.registry.entries(part.contents))
        changed += len(part.cards)
    _refresh_repairs(ctx, catalogue)
    if changed or gone or not catalogue.noted(REFRESHED_AT):
        counts.keep(catalogue, plans.current(ctx).get("quality"))
    catalogue.note(REFRESHED_AT, started.isoformat())
    return changed + len(gone)


class _Part:
    """Versions whose cards are written together; `contents` are those whose manifests are read again."""

    def __init__(self, cards: Sequence[ModelVersion], contents: Sequence[ModelVersion]) -> None:
        self.cards = cards
        self.contents = contents


def _changed(known: dict[tuple[str, int], Known], versions: Sequence[ModelVersion]) -> Iterator[_Part]:
    """Parts of what changed. All versions of one content are in one part: its edges are those of all its manifests."""
    by_digest: dict[str, list[ModelVersion]] = {}
    for version in versions:
        by_digest.setdefault(version.digest, []).append(version)
    touched: dict[str, list[ModelVersion]] = {}
    resealed: set[str] = set()
    for version in versions:
        card, old = card_of(version), known.get((version.name, int(version.version)))
        if old is None or old.stamp != card.stamp:
            touched.setdefault(version.digest, []).append(version)
        if old is None or old.seal != card.seal:
            resealed.add(version.digest)
    digests = sorted(touched.keys() | (resealed - {""}))
    for i in range(0, len(digests), _BATCH):
        batch = digests[i : i + _BATCH]
        cards = [version for digest in batch for version in touched.get(digest, ())]
        yield _Part(cards, [v for digest in batch if digest and digest in resealed for v in by_digest[digest]])


def _cards(ctx: Context, known: dict[tuple[str, int], Known], versions: Sequence[ModelVersion]) -> list[Card]:
    with ThreadPoolExecutor(_READERS, "heritage-verdicts") as pool:
        return list(pool.map(lambda version: _card(ctx, known, version), versions))


def _card(ctx: Context, known: dict[tuple[str, int], Known], version: ModelVersion) -> Card:
    card = card_of(version)
    if not card.window:
        return card
    old = known.get(card.key)
    if old is not None and (old.health, old.window) == (card.health, card.window) and old.verdict != "{}":
        return card_of(version, json.loads(old.verdict))
    return card_of(version, verdict_in_short(ctx, version, card.window))


def verdict_in_short(ctx: Context, version: ModelVersion, window: str) -> dict[str, Any]:
    """The stored verdict on a window, without its columns' figures; {} where it is not there or is no verdict."""
    try:
        record = json.loads(ctx.store.get(judgements.verdict_key(version, window)))
        return short(Verdict.from_record(record["verdict"], "verdict"))
    except (NotFound, BadInput, ValueError, KeyError, TypeError):
        return {}


def short(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the timeline shows it."""
    performance = verdict.performance
    current = None if performance is None else performance.current
    return {
        "window": verdict.window,
        "status": verdict.status,
        "rows": verdict.rows,
        "effect": verdict.effect,
        "moved": list(verdict.moved),
        "muted": verdict.muted,
        "columns": list(verdict.drifted_columns),
        "accuracy": None if current is None else current.accuracy,
    }


def _refresh_repairs(ctx: Context, catalogue: Catalogue) -> None:
    """Decisions never change once they are stored, so only new ones are read."""
    end = "/decision.json"
    plans = {key.split("/")[1] for key in ctx.store.list("repairs/") if key.endswith(end)}
    new = sorted(plan for plan in plans - catalogue.plans() if _is_digest(plan))
    for i in range(0, len(new), _BATCH):
        batch = new[i : i + _BATCH]
        with ThreadPoolExecutor(_READERS, "heritage-repairs") as pool:
            found = list(pool.map(lambda plan: ctx.store.get(f"repairs/{plan}{end}"), batch))
        catalogue.put_repairs({plan: _record(data) for plan, data in zip(batch, found, strict=True)})


def _record(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_digest(text: str) -> bool:
    try:
        return bool(check_digest(text))
    except UnsafeName:
        return False
