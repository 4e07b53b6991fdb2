"""What follows from news of the registry: somebody registered a version or moved an alias, perhaps by hand.

aliases/<name>/<Unix ms>-<delivery>.json   one object an alias that somebody else than heritage moved

Moves of `champion` by hand are entries of the journal too, so that its history is complete.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from heritage.errors import HeritageError, NotFound, Unavailable, UnsafeName
from heritage.flows.context import Context
from heritage.names import check_name, printable
from heritage.registry import CHALLENGER, CHAMPION, GATE, PREVIOUS, UNDONE, Move

INGEST, VALIDATE = "heritage_ingest", "heritage_validate"
# within this time of a move, heritage itself takes the challenger's alias away
_CLEARED = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Notice:
    """One piece of news: `version` is '' where an alias was taken away, `alias` where a version was registered."""

    name: str
    version: str
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Consequence:
    """What is to be done: the DAG to start with its parameters, '' for none; and what was done, for people."""

    done: str
    dag: str = ""
    conf: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasMove:
    """An alias that was moved by hand; `at` is ISO 8601 in UTC, `version` '' where it was taken away."""

    name: str
    alias: str
    version: str
    at: str
    delivery: str


def registered(ctx: Context, notice: Notice) -> Consequence:
    """A version is there: what heritage did not register itself is ingested."""
    try:
        version = ctx.registry.version(f"{check_name(notice.name)}/{notice.version}")
    except UnsafeName as error:
        return Consequence(f"left alone: {printable(str(error))}")
    except NotFound:
        return Consequence("left alone: it is gone already")
    if version.digest:
        return Consequence("it has its manifest")
    return Consequence("ingested", INGEST, {"address": version.address})


def alias_moved(ctx: Context, notice: Notice, delivery: str) -> Consequence:
    """An alias is set or gone: a challenger set by hand is validated, every other move by hand is recorded."""
    if _is_own(ctx, notice):
        return Consequence("heritage moved it")
    if notice.alias == CHALLENGER and notice.version:
        address = f"{check_name(notice.name)}/{notice.version}"
        record(ctx, notice, delivery)
        return Consequence("validated", VALIDATE, {"address": address})
    if notice.alias == CHAMPION:
        ctx.registry.note_manual_move(notice.name)
    record(ctx, notice, delivery)
    return Consequence("recorded")


def record(ctx: Context, notice: Notice, delivery: str) -> None:
    """Keep a move that was made by hand; the same delivery again changes nothing."""
    now = ctx.now()
    move = AliasMove(**asdict(notice), at=now.isoformat(), delivery=delivery)
    key = f"{_prefix(notice.name)}{int(now.timestamp() * 1000):015d}-{check_name(delivery, 'delivery')}.json"
    ctx.store.create(key, json.dumps(asdict(move), sort_keys=True).encode())


def by_hand(ctx: Context, name: str, limit: int = 200) -> list[AliasMove]:
    """The newest moves of the aliases of `name` by hand, oldest first."""
    keys = list(ctx.store.list(_prefix(name)))[-limit:]
    return [AliasMove(**json.loads(ctx.store.get(key))) for key in keys]


def _prefix(name: str) -> str:
    """Also for names that heritage would not write: those are known by their hash."""
    try:
        return f"aliases/{check_name(name)}/"
    except UnsafeName:
        return f"aliases/x-{hashlib.sha256(name.encode()).hexdigest()[:32]}/"


def _is_own(ctx: Context, notice: Notice) -> bool:
    """Whether heritage moved this alias. What cannot be told counts as by hand: better one record too many."""
    try:
        entries = ctx.registry.history(check_name(notice.name))
        if notice.alias == CHALLENGER and notice.version:
            version = ctx.registry.version(f"{notice.name}/{notice.version}")
            return version.tags.get(GATE, "").startswith("accept:")
    except Unavailable:
        raise
    except HeritageError:
        return False
    return bool(entries) and _fits(ctx, entries[-1], notice)


def _fits(ctx: Context, last: Move, notice: Notice) -> bool:
    """Whether the newest move of the journal, finished or not, put the alias where it is."""
    if notice.alias == CHAMPION:
        return notice.version == (last.version if last.state != UNDONE else last.replaced)
    if notice.alias == PREVIOUS:
        return notice.version == (last.previous if last.state != UNDONE else last.previous_before)
    if notice.alias == CHALLENGER:
        return ctx.now() - datetime.fromisoformat(last.at) < _CLEARED
    return False
