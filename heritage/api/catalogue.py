"""The lineage index with what lists need beside it: aliases, families, verdicts, repairs. One SQLite file a registry.

A copy that may be deleted at any time. Like the index it is filled by one writer and read by many; unlike it, its
content follows versions whose tags change, and forgets those that were deleted. What the tags tell is put at once;
manifests and verdicts are read afterwards, and each card knows for which state of its tags that was done.
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
_TRIGRAM = 3  # characters
# worst first, as the fleet is listed
_SEVERITY = {status: i for i, status in enumerate(("schema", "drift", "warning", "insufficient", "ok", UNKNOWN))}

_TABLES = """
CREATE TABLE IF NOT EXISTS card (
    name TEXT, number INTEGER, content INTEGER, family TEXT, health TEXT, severity INTEGER, window TEXT, effect REAL,
    verdict TEXT, aliases TEXT, run_id TEXT, seal TEXT, stamp TEXT, created_at_ms INTEGER,
    read_seal TEXT DEFAULT '', read_window TEXT DEFAULT '', PRIMARY KEY (name, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS card_content ON card (content);
CREATE INDEX IF NOT EXISTS card_unread ON card (content) WHERE read_seal <> seal;
CREATE INDEX IF NOT EXISTS card_unjudged ON card (name, number) WHERE read_window <> window;
CREATE INDEX IF NOT EXISTS card_name ON card (name);
CREATE INDEX IF NOT EXISTS card_family ON card (family, health, name, number);
CREATE INDEX IF NOT EXISTS card_health ON card (health, name, number);
CREATE INDEX IF NOT EXISTS card_severity ON card (severity, effect DESC, name, number) WHERE window <> '';
CREATE VIRTUAL TABLE IF NOT EXISTS model_text USING fts5 (name, tokenize = 'trigram');
CREATE TABLE IF NOT EXISTS repair (
    plan TEXT PRIMARY KEY, model TEXT, window TEXT, decision TEXT, rung TEXT, record TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS repair_window ON repair (window DESC, plan);
CREATE TABLE IF NOT EXISTS note (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""
# before the card is there; a name whose versions are all gone stays, and finds nothing
_PUT_NAME = "INSERT INTO model_text SELECT ? WHERE NOT EXISTS (SELECT 1 FROM card WHERE name = ?)"
# the tag tells no more than status and window: a window that is judged again (labels came late) with the same status
# keeps its first figures in lists until the next one; whoever asks for the version's windows gets those that hold
_PUT_CARD = """
INSERT INTO card (name, number, content, family, health, severity, window, aliases, run_id, seal, stamp, created_at_ms,
    verdict) VALUES (?, ?, (SELECT id FROM content WHERE digest = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, '{}')
ON CONFLICT (name, number) DO UPDATE SET
    effect = iif((excluded.health, excluded.window) = (health, window), effect, NULL),
    verdict = iif((excluded.health, excluded.window) = (health, window), verdict, '{}'),
    read_window = iif((excluded.health, excluded.window) = (health, window), read_window, ''),
    read_seal = iif(excluded.content IS content, read_seal, ''),
    content = excluded.content, family = excluded.family, health = excluded.health, severity = excluded.severity,
    window = excluded.window, aliases = excluded.aliases, run_id = excluded.run_id, seal = excluded.seal,
    stamp = excluded.stamp, created_at_ms = excluded.created_at_ms
"""
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Card:
    """A version as the lists show it, as far as its tags tell.

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

    @property
    def key(self) -> Key:
        """Name and number."""
        return self.name, self.number

    @property
    def stamp(self) -> str:
        """Equal for cards that tell the same."""
        return json.dumps([self.seal, self.family, self.health, self.window, self.aliases, self.run_id])


def card_of(version: ModelVersion) -> Card:
    """The card of a registered version; whatever its tags say, nothing is raised."""
    health, _, window = version.tags.get(DRIFT_TAG, "").partition(":")
    health = health if health in STATUSES and window else UNKNOWN
    parents = sorted((k, v) for k, v in version.tags.items() if k.startswith(PARENT))
    seal = json.dumps([version.digest, version.tags.get(DATA, ""), parents])
    return Card(
        version.name, int(version.version), version.digest, version.tags.get(FAMILY, ""), health,
        window if health != UNKNOWN else "", version.aliases, version.run_id,
        seal, version.created_at_ms,
    )  # fmt: skip


class Catalogue(LineageIndex):
    """An open catalogue; use it in a `with` block, in one thread. Raises as the index does."""

    def __init__(self, path: Path) -> None:
        """Open the catalogue at `path`, or begin an empty one."""
        super().__init__(path)
        with self._told():
            if not self._db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'note'").fetchone()[0]:
                self._db.executescript(_TABLES)

    def stamps(self) -> dict[Key, str]:
        """The stamp of every version by name and number."""
        return {(name, number): stamp for name, number, stamp in self._rows("SELECT name, number, stamp FROM card")}

    def put(self, versions: Iterable[ModelVersion]) -> None:
        """Write the cards of `versions`, and what their tags tell of lineage where no manifest has told it."""
        known = list(versions)
        cards = [card_of(version) for version in known]
        with self._writing():
            moved = [old for card in cards for old in self._left(card)]
            self._add_claims(known)
            self._db.executemany(_PUT_NAME, ((name, name) for name in dict.fromkeys(card.name for card in cards)))
            self._db.executemany(_PUT_CARD, map(_row, cards))
            self._drop(moved)

    def confirm(self, entries: Iterable[Entry]) -> None:
        """Make the edges of the contents in `entries` exactly those of their manifests; all versions of a content
        are in one call.
        """
        known = [entry for entry in entries if entry.version.digest]
        with self._writing():
            for digest in {entry.version.digest for entry in known}:
                self._forget_content(self._id(digest))
            self._add(known)
            seals = [(card.seal, *card.key) for card in (card_of(entry.version) for entry in known)]
            self._db.executemany("UPDATE card SET read_seal = ? WHERE name = ? AND number = ?", seals)

    def unread(self, limit: int) -> list[str]:
        """At most `limit` contents whose manifests were not read since their tags changed."""
        asked = (
            "SELECT DISTINCT digest FROM card JOIN content ON id = content "
            "WHERE read_seal <> seal AND content NOT NULL LIMIT ?"
        )
        return [row[0] for row in self._rows(asked, [limit])]

    def judge(self, verdicts: Mapping[Key, Mapping[str, Any]]) -> None:
        """Write the newest verdict of versions in short; {} for one that cannot be read."""
        rows = [(json.dumps(dict(told)), told.get("effect"), *key) for key, told in verdicts.items()]
        written = "UPDATE card SET verdict = ?, effect = ?, read_window = window WHERE name = ? AND number = ?"
        with self._writing():
            self._db.executemany(written, rows)

    def unjudged(self, limit: int) -> list[tuple[str, int, str]]:
        """Name, number and window of at most `limit` versions whose newest verdict was not read."""
        return self._rows("SELECT name, number, window FROM card WHERE read_window <> window LIMIT ?", [limit])

    def names_with(self, text: str, limit: int) -> list[str] | None:
        """Names of the models that contain `text`; None for more than `limit`, and for a text too short to look up."""
        if len(text) < _TRIGRAM or "\0" in text:
            return None
        phrase = '"' + text.replace('"', '""') + '"'
        asked = (
            "SELECT DISTINCT name FROM model_text WHERE model_text MATCH ? AND instr(lower(name), lower(?)) > 0 LIMIT ?"
        )
        found = [row[0] for row in self._rows(asked, (phrase, text, limit + 1))]
        return found if len(found) <= limit else None

    def forget(self, keys: Iterable[Key]) -> None:
        """Remove versions that were deleted, and contents that nobody else has."""
        left: list[int] = []
        with self._writing():
            for name, number in keys:
                self._db.execute("DELETE FROM card WHERE name = ? AND number = ?", (name, number))
                left += self._leave(name, number)
            self._drop(left)

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

    def _left(self, card: Card) -> list[int]:
        """The content that a version had, if it has another one now; the version leaves it."""
        asked = "SELECT digest FROM version JOIN content ON id = content WHERE name = ? AND version = ?"
        old = self._db.execute(asked, (card.name, str(card.number))).fetchone()
        return self._leave(card.name, card.number) if old and old[0] != card.digest else []

    def _leave(self, name: str, number: int) -> list[int]:
        removed = "DELETE FROM version WHERE name = ? AND version = ? RETURNING content"
        return [row[0] for row in self._db.execute(removed, (name, str(number))).fetchall()]

    def _drop(self, contents: Iterable[int]) -> None:
        """Forget those that no version has any more; of the others, the manifests that are left are read again."""
        for content in contents:
            if not self._db.execute("SELECT 1 FROM version WHERE content = ? LIMIT 1", (content,)).fetchone():
                self._forget_content(content)
            else:
                self._db.execute("UPDATE card SET read_seal = '' WHERE content = ?", (content,))

    def _id(self, digest: str) -> int:
        return int(self._db.execute("SELECT id FROM content WHERE digest = ?", (digest,)).fetchone()[0])

    def _forget_content(self, content: int) -> None:
        self._db.execute("DELETE FROM node WHERE content = ?", (content,))
        self._db.execute(
            "DELETE FROM reverse_edge WHERE (parent, child) IN (SELECT parent, child FROM edge WHERE child = ?)",
            (content,),
        )
        self._db.execute("DELETE FROM edge WHERE child = ?", (content,))


def _row(card: Card) -> tuple[object, ...]:
    return (
        card.name, card.number, card.digest, card.family, card.health, _SEVERITY[card.health], card.window,
        json.dumps(card.aliases), card.run_id, card.seal, card.stamp, card.created_at_ms,
    )  # fmt: skip
