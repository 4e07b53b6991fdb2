"""A searchable index of lineage in one SQLite file: what the manifests say, nothing else, and rebuildable from them.

The index is never the truth. `update` adds what was registered since; versions that were deleted leave it only by
`rebuild`. However it was filled, the same manifests give the same content (`LineageIndex.digest`). Digests are kept as
32 bytes; both edge tables are without rowid, one sorted by child, one by parent.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, Self

from heritage.errors import HeritageError, Misconfigured, NotFound, Unavailable
from heritage.lineage.graph import LineageGraph
from heritage.lineage.nodes import Address, Edge, Node, node_of, node_of_version
from heritage.names import check_digest, printable
from heritage.records import Manifest, ModelVersion, Origin, ParentEdge, Relation

SCHEMA_VERSION = 1
_BATCH = 10_000
LOCK_TIMEOUT_S = 30.0
_CONTENT = ("version", "node", "edge", "reverse_edge")

_TABLES = """
CREATE TABLE version (
    name TEXT, version TEXT, digest BLOB, created_at_ms INTEGER, PRIMARY KEY (name, version)) WITHOUT ROWID;
CREATE INDEX version_digest ON version (digest);
CREATE INDEX version_created ON version (created_at_ms);
CREATE TABLE node (
    digest BLOB PRIMARY KEY, signature TEXT, architecture TEXT, created_at TEXT) WITHOUT ROWID;
CREATE INDEX node_signature ON node (signature) WHERE signature <> '';
CREATE TABLE edge (
    child BLOB, parent BLOB, origin TEXT, relation TEXT, confidence REAL,
    PRIMARY KEY (child, parent, origin)) WITHOUT ROWID;
CREATE TABLE reverse_edge (parent BLOB, child BLOB, PRIMARY KEY (parent, child)) WITHOUT ROWID;
"""
_ADD_VERSION = "INSERT OR REPLACE INTO version VALUES (?, ?, ?, ?)"
# one content may come with several manifests: the smaller value wins, whichever comes first, as in `nodes.joined`
_ADD_NODE = """
INSERT INTO node VALUES (?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET
    signature = ifnull(min(nullif(signature, ''), nullif(excluded.signature, '')), signature || excluded.signature),
    architecture = ifnull(
        min(nullif(architecture, ''), nullif(excluded.architecture, '')), architecture || excluded.architecture),
    created_at = ifnull(min(nullif(created_at, ''), nullif(excluded.created_at, '')), created_at || excluded.created_at)
"""
_ADD_EDGE = """
INSERT INTO edge VALUES (?, ?, ?, ?, ?) ON CONFLICT (child, parent, origin) DO UPDATE SET
    relation = excluded.relation, confidence = excluded.confidence
    WHERE (excluded.confidence, excluded.relation) > (confidence, relation)
"""
_ADD_REVERSE = "INSERT OR IGNORE INTO reverse_edge VALUES (?, ?)"
# UNION, not UNION ALL: every vertex once, so that a circle in the records ends too
_WALK = """
WITH RECURSIVE reached (digest) AS (
    SELECT {near} FROM {table} WHERE {here} = :start
    UNION SELECT {near} FROM {table} JOIN reached ON {table}.{here} = reached.digest)
SELECT lower(hex(digest)) FROM reached WHERE digest <> :start
"""
_ANCESTORS = _WALK.format(table="edge", here="child", near="parent")
_KNOWN = """
SELECT 1 FROM node WHERE digest = :start UNION ALL SELECT 1 FROM edge WHERE child = :start
UNION ALL SELECT 1 FROM reverse_edge WHERE parent = :start LIMIT 1
"""
_DESCENDANTS = _WALK.format(table="reverse_edge", here="parent", near="child")


class Entry(Protocol):
    """A version with its manifest, if it has a readable one."""

    @property
    def version(self) -> ModelVersion:
        """The registry's entry."""

    @property
    def manifest(self) -> Manifest | None:
        """The manifest, None where there is none."""


class LineageIndex:
    """An open index; use it in a `with` block. One writer at a time, readers see the state before or after a write.

    Every method raises `Misconfigured` for a file that is no index of this schema or is damaged, and `Unavailable`
    where another writer holds the file longer than 30 s.
    """

    def __init__(self, path: Path) -> None:
        """Open the index at `path`, or begin an empty one."""
        self.path = path
        with self._told():
            self._db = sqlite3.connect(path, timeout=LOCK_TIMEOUT_S, isolation_level=None)
        try:
            self._prepare()
        except HeritageError:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def update(self, entries: Iterable[Entry]) -> int:
        """Add what `entries` tell, all or nothing; what is known already changes nothing. Returns their number."""
        with self._writing():
            return self._add(entries)

    def rebuild(self, entries: Iterable[Entry]) -> int:
        """Make this an index of exactly `entries`, all or nothing. Returns their number."""
        with self._writing():
            for table in _CONTENT:
                self._db.execute(f"DELETE FROM {table}")  # noqa: S608 a name of our own
            return self._add(entries)

    def watermark_ms(self) -> int:
        """Creation time of the newest version, Unix time in ms; 0 when empty.

        Read on from here with 'at or after': several versions may be made in one millisecond.
        """
        return int(self._rows("SELECT ifnull(max(created_at_ms), 0) FROM version")[0][0])

    def ancestors(self, digest: str) -> set[str]:
        """All that `digest` descends from; `NotFound` for a digest that nothing is known of."""
        return self._walk(_ANCESTORS, digest)

    def descendants(self, digest: str) -> set[str]:
        """All that descends from `digest`; `NotFound` for a digest that nothing is known of."""
        return self._walk(_DESCENDANTS, digest)

    def addresses(self, digest: str) -> list[Address]:
        """Where this content is registered: (name, version), oldest first."""
        asked = "SELECT name, version FROM version WHERE digest = ? ORDER BY created_at_ms, name, version"
        return self._rows(asked, (_packed(digest),))

    def digest_of(self, name: str, version: str) -> str:
        """Content of `name`/`version`; `NotFound` where it is not indexed."""
        found = self._rows("SELECT lower(hex(digest)) FROM version WHERE name = ? AND version = ?", (name, version))
        if not found:
            raise NotFound(f"version '{printable(name)}/{printable(version)}' is not in {self.path}; update the index")
        return str(found[0][0])

    def trained_on(self, signature: str) -> list[str]:
        """Digests of the contents that were trained on data of this signature, sorted."""
        asked = "SELECT lower(hex(digest)) FROM node WHERE signature = ? AND signature <> '' ORDER BY digest"
        return [row[0] for row in self._rows(asked, (signature,))]

    def graph(self) -> LineageGraph:
        """All nodes and edges in memory, without metrics and parameters, which only manifests hold.

        Raises `LineageCycle` where the records contradict each other; `edges` with `cycles.acyclic` goes on without.
        """
        return LineageGraph(self.nodes(), self.edges())

    def nodes(self) -> Iterator[Node]:
        """Every registered content, once for each of its addresses."""
        asked = (
            "SELECT lower(hex(digest)), name, version, signature, architecture, created_at "
            "FROM node JOIN version USING (digest)"
        )
        for digest, name, version, signature, architecture, created_at in self._rows(asked):
            yield Node(digest, ((name, version),), signature, architecture, created_at=created_at)

    def edges(self) -> Iterator[Edge]:
        """Every edge of every origin."""
        asked = "SELECT lower(hex(child)), lower(hex(parent)), origin, relation, confidence FROM edge"
        for child, parent, origin, relation, confidence in self._rows(asked):
            yield Edge(child, ParentEdge(parent, Relation(relation), Origin(origin), confidence))

    def counts(self) -> dict[str, int]:
        """Rows of each table."""
        return {table: self._rows(f"SELECT count(*) FROM {table}")[0][0] for table in _CONTENT}  # noqa: S608 as above

    def digest(self) -> str:
        """SHA-256 over all rows in the order of their keys: equal for equal content, however it was filled."""
        total = hashlib.sha256()
        with self._told():
            for table in _CONTENT:
                # without rowid, the primary key is the order of the table
                for row in self._db.execute(f"SELECT * FROM {table}"):  # noqa: S608 as above
                    total.update(repr((table, *row)).encode())
        return total.hexdigest()

    def _prepare(self) -> None:
        with self._told():
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            empty = not self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if found != SCHEMA_VERSION and not empty:
            raise Misconfigured(
                f"{self.path}: is no lineage index of schema {SCHEMA_VERSION} (found {found}); delete it and rebuild"
            )
        with self._told():
            # readers go on while a writer works; the file lies on a local disk
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            # digests come in no order, so every insert touches another page; 64 MiB hold the pages of 100,000 versions
            self._db.execute("PRAGMA cache_size = -65536")
        if empty:
            self._create()

    def _create(self) -> None:
        with self._writing():
            if self._db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
                return  # another process was faster
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _add(self, entries: Iterable[Entry]) -> int:
        count = 0
        for batch in _batches(entries):
            count += len(batch)
            known = [entry for entry in batch if entry.version.digest]
            manifests = [entry.manifest for entry in batch if entry.manifest]
            nodes = [node_of_version(entry.version) for entry in known] + [node_of(manifest) for manifest in manifests]
            edges = [(m.digest, record) for m in manifests for record in m.parents]
            self._db.executemany(_ADD_VERSION, (_version_row(entry.version) for entry in known))
            self._db.executemany(_ADD_NODE, map(_node_row, nodes))
            self._db.executemany(_ADD_EDGE, (_edge_row(child, record) for child, record in edges))
            self._db.executemany(_ADD_REVERSE, ((_packed(record.digest), _packed(child)) for child, record in edges))
        return count

    def _walk(self, asked: str, digest: str) -> set[str]:
        start = _packed(digest)
        found = {row[0] for row in self._rows(asked, {"start": start})}
        if not found and not self._rows(_KNOWN, {"start": start}):
            raise NotFound(f"digest {digest} is not in {self.path}; register it, or update the index")
        return found

    def _rows(self, asked: str, values: Any = ()) -> list[Any]:
        with self._told():
            return self._db.execute(asked, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise Unavailable(f"{self.path}: another process writes the index ({error}); try again") from error
            raise Misconfigured(
                f"{self.path}: cannot be used ({error}); check folder, rights and disk space"
            ) from error
        except sqlite3.DatabaseError as error:
            raise Misconfigured(f"{self.path}: is no lineage index ({error}); delete it and rebuild") from error


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    rest = iter(entries)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _packed(digest: str) -> bytes:
    return bytes.fromhex(check_digest(digest))


def _version_row(version: ModelVersion) -> tuple[object, ...]:
    return version.name, version.version, _packed(version.digest), version.created_at_ms


def _node_row(node: Node) -> tuple[object, ...]:
    return _packed(node.digest), node.signature, node.architecture, node.created_at


def _edge_row(child: str, record: ParentEdge) -> tuple[object, ...]:
    return _packed(child), _packed(record.digest), record.origin.value, record.relation.value, record.confidence
