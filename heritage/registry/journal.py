"""The journal of a model's champions: one object a move, numbered without gaps, written before anything moves.

    journal/<name>/<sequence>.json   intent -> moved -> done, or undone

The next number is taken by a conditional put, so of several promoters one wins; an entry that is not finished blocks
the next one until its owner ends or its lease runs out.
"""

import time
from dataclasses import dataclass

from heritage.errors import Conflict
from heritage.names import check_name
from heritage.registry.connect import Connection
from heritage.registry.lease import Found, Owned, find

INTENT, MOVED, DONE, UNDONE = "intent", "moved", "done", "undone"
PROMOTE, ROLLBACK, INITIAL, MANUAL = "promote", "rollback", "initial", "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move(Owned):
    """One move of the alias `champion` of `name`; version numbers as text, '' for none.

    `version` with content `digest` took the place of `replaced`; `previous` is where the alias of that name points
    afterwards, `previous_before` where it pointed. `kind` manual records a move that somebody else made. `at` is
    ISO 8601 in UTC.
    """

    name: str
    sequence: int
    kind: str
    version: str
    digest: str
    replaced: str
    previous: str
    previous_before: str
    reason: str
    plan_hash: str
    at: str

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do for it."""
        return self.state in (DONE, UNDONE)


def move_key(name: str, sequence: int) -> str:
    """Key of a journal entry."""
    return f"journal/{check_name(name)}/{sequence:010d}.json"


def history(connection: Connection, name: str) -> tuple[Move, ...]:
    """All entries of `name`, oldest first; one request each."""
    keys = list(connection.store.list(f"journal/{check_name(name)}/"))
    found = [find(connection.store, key, Move) for key in keys]
    return tuple(entry.record for entry in found if entry)


def champion_of(entries: tuple[Move, ...]) -> Move | None:
    """The last move that was completed: who should be champion."""
    return next((entry for entry in reversed(entries) if entry.state == DONE), None)


def was_proven(entries: tuple[Move, ...], version: str, digest: str) -> bool:
    """Whether this very content was made champion through the journal; the number alone may have been used again."""
    return any(
        (entry.version, entry.digest) == (version, digest)
        for entry in entries
        if entry.state == DONE and entry.kind != MANUAL
    )


def wait_for_last(connection: Connection, name: str) -> Found[Move] | None:
    """The unfinished last entry once its owner is gone; None where the last entry is finished or there is none.

    Waits for a living owner, at most for the connection's `wait_s`; then `Conflict`.
    """
    deadline = time.monotonic() + connection.timing.wait_s
    while True:
        keys = list(connection.store.list(f"journal/{check_name(name)}/"))
        last = find(connection.store, keys[-1], Move) if keys else None
        if last is None or last.record.is_finished:
            return None
        if last.record.expires_at_s < connection.now().timestamp():
            return last
        if time.monotonic() > deadline:
            raise Conflict(
                f"model '{name}': move {last.record.sequence} to version {last.record.version} is under way in another "
                f"process; try again when it has ended; the moves are under journal/{name}/"
            )
        time.sleep(0.1)
