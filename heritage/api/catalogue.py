"""The lineage index with what lists need beside it: aliases, families, verdicts, repairs. One SQLite file a registry.

A copy that may be deleted at any time. Like the index it is filled by one writer and read by many; unlike it, its
content follows versions whose tags change, and forgets those that were deleted.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heritage.drift.verdict import STATUSES
from heritage.lineage.index import Entry, LineageIndex
from heritage.lineage.tags import DATA, PARENT
from heritage.records import ModelVersion
from heritage.registry import FAMILY

UNKNOWN = "unknown"
HEALTHS = (*STATUSES, UNKNOWN)
DRIFT_TAG = "heritage.drift"
# worst first, as the fleet is listed
_SEVERITY = {status: i for i, status in enumerate(("schema", "drift", "warning", "insufficient", "ok", UNKNOWN))}

_TABLES = """
CREATE TABLE IF NOT EXISTS card (
    name TEXT, number INTEGER, digest BLOB, family TEXT, health TEXT, severity INTEGER, window TEXT, effect REAL,
    verdict TEXT, aliases TEXT, run_id TEXT, seal TEXT, stamp TEXT, created_at_ms INTEGER,
    PRIMARY KEY (name, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS card_digest ON card (digest);
CREATE INDEX IF NOT EXISTS card_name ON card (name);
CREATE INDEX IF NOT EXISTS card_family ON card (family, health, name, number);
CREATE INDEX IF NOT EXISTS card_health ON card (health, name, number);
CREATE INDEX IF NOT EXISTS card_severity ON card (severity, effect DESC, name, number) WHERE window <> '';
CREATE TABLE IF NOT EXISTS repair (
    plan TEXT PRIMARY KEY, model TEXT, window TEXT, decision TEXT, rung TEXT, record TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS repair_window ON repair (window DESC, plan);
CREATE TABLE IF NOT EXISTS note (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""
_PUT_CARD = "INSERT OR REPLACE INTO card VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Card:
    """A version as the lists show it. `verdict` is the record in short of the newest window, {} where none is known.

    `seal` changes whenever the version's index tags do, and with them, perhaps, its manifest.
    """

    name: str
    number: int
    digest: str
    family: str
    health: str
    window: str
    aliases: tuple[str, ...]
    run_id: str
    seal: str
    created_at_ms: int
    verdict: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, int]:
        """Name and number."""
        return self.name, self.number

    @property
    def stamp(self) -> str:
        """Equal for cards that tell the same."""
        return json.dumps([self.seal, self.family, self.health, self.window, self.aliases, self.run_id])


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalogue has of a version, for whoever refreshes it."""

    stamp: str
    seal: str
    health: str
    window: str
    verdict: str


def card_of(version: ModelVersion, verdict: Mapping[str, Any] | None = None) -> Card:
    """The card of a registered version; whatever its tags say, nothing is raised."""
    health, _, window = version.tags.get(DRIFT_TAG, "").partition(":")
    health = health if health in STATUSES and window else UNKNOWN
    parents = sorted((k, v) for k, v in version.tags.items() if k.startswith(PARENT))
    seal = json.dumps([version.digest, version.tags.get(DATA, ""), parents])
    return Card(
        version.name, int(version.version), version.digest, version.tags.get(FAMILY, ""), health,
        window if health != UNKNOWN else "", version.aliases, version.run_id,
        seal, version.created_at_ms, verdict or {},
    )  # fmt: skip


class Catalogue(LineageIndex):
    """An open catalogue; use it in a `with` block, in one thread. Raises as the index does."""

    def __init__(self, path: Path) -> None:
        """Open the catalogue at `path`, or begin an empty one."""
        super().__init__(path)
        with self._told():
            if not self._db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'note'").fetchone()[0]:
                self._db.executescript(_TABLES)

    def known(self) -> dict[tuple[str, int], Known]:
        """Every version by name and number."""
        found = self._rows("SELECT name, number, stamp, seal, health, window, verdict FROM card")
        return {(name, number): Known(*rest) for name, number, *rest in found}

    def put(self, cards: Iterable[Card], entries: Iterable[Entry] = ()) -> None:
        """Write `cards`, and make the edges of the contents in `entries` exactly those of their manifests."""
        known = list(entries)
        with self._writing():
            for digest in {entry.version.digest for entry in known if entry.version.digest}:
                self._forget_content(bytes.fromhex(digest))
            self._add(known)
            self._db.executemany(_PUT_CARD, map(_row, cards))

    def forget(self, keys: Iterable[tuple[str, int]]) -> None:
        """Remove versions that were deleted, and contents that nobody else has."""
        with self._writing():
            for name, number in keys:
                self._db.execute("DELETE FROM card WHERE name = ? AND number = ?", (name, number))
                found = self._db.execute(
                    "DELETE FROM version WHERE name = ? AND version = ? RETURNING digest", (name, str(number))
                ).fetchall()
                for (digest,) in found:
                    if not self._db.execute("SELECT 1 FROM version WHERE digest = ? LIMIT 1", (digest,)).fetchone():
                        self._forget_content(digest)

    def put_repairs(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Add decisions by the hash of their plan; what is known stays as it is.

        They come from storage, so a field may be missing or be no text.
        """
        rows = [
            (plan, *(str(r.get(name, "")) for name in ("model", "window", "decision", "rung")), json.dumps(r))
            for plan, r in records.items()
        ]
        with self._writing():
            self._db.executemany("INSERT OR IGNORE INTO repair VALUES (?, ?, ?, ?, ?, ?)", rows)

    def plans(self) -> set[str]:
        """Hashes of all repairs that are known."""
        return {plan for (plan,) in self._rows("SELECT plan FROM repair")}

    def note(self, key: str, value: str) -> None:
        """Keep a short text."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (key, value))

    def noted(self, key: str) -> str:
        """The text that was kept; '' for none."""
        found = self._rows("SELECT value FROM note WHERE key = ?", (key,))
        return str(found[0][0]) if found else ""

    def ask(self, statement: str, values: Any = ()) -> list[Any]:
        """Rows of a reading statement; values from outside go into `values` only."""
        return self._rows(statement, values)

    def _forget_content(self, digest: bytes) -> None:
        self._db.execute("DELETE FROM node WHERE digest = ?", (digest,))
        self._db.execute(
            "DELETE FROM reverse_edge WHERE (parent, child) IN (SELECT parent, child FROM edge WHERE child = ?)",
            (digest,),
        )
        self._db.execute("DELETE FROM edge WHERE child = ?", (digest,))


def _row(card: Card) -> tuple[object, ...]:
    effect = card.verdict.get("effect") if card.window else None
    return (
        card.name, card.number, bytes.fromhex(card.digest) if card.digest else None, card.family, card.health,
        _SEVERITY[card.health], card.window, effect, json.dumps(dict(card.verdict)), json.dumps(card.aliases),
        card.run_id, card.seal, card.stamp, card.created_at_ms,
    )  # fmt: skip
