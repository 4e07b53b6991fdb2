"""A searchable index of lineage in one SQLite file: what the manifests say, nothing else, and rebuildable from them.

The index is never the truth. `update` adds what was registered since; versions that were deleted leave it only by
`rebuild`. Tags fill it in seconds (`update_from_tags`), and what they tell of a version stands until its manifest is
read: then that alone counts. However it was filled, the same manifests give the same content (`LineageIndex.digest`).
A digest is kept once, with a number that stands for it everywhere else; both edge tables are without rowid, one sorted
by child, one by parent, so that a walk reads nothing but numbers that lie side by side.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, Self

from heritage.errors import HeritageError, Misconfigured, NotFound, Unavailable
from heritage.lineage.claims import claims_of
from heritage.lineage.graph import LineageGraph
from heritage.lineage.index_tables import (
    ADD_CONTENT,
    ADD_EDGE,
    ADD_NODE,
    ADD_REVERSE,
    ADD_VERSION,
    ANCESTORS,
    CONTENT,
    DESCENDANTS,
    KNOWN,
    RETRACT,
    SCHEMA_VERSION,
    TABLES,
    TOLD,
)
from heritage.lineage.nodes import Address, Edge, Node, node_of, node_of_version
from heritage.names import check_digest, printable
from heritage.records import Manifest, ModelVersion, Origin, ParentEdge, Relation

_BATCH = 10_000
LOCK_TIMEOUT_S = 30.0
_MAPPED_BYTES = 2**30


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
            self._clear()
            return self._add(entries)

    def update_from_tags(self, versions: Iterable[ModelVersion]) -> list[ModelVersion]:
        """Add what the tags of `versions` tell, all or nothing; contents whose manifest is known already stay.

        Tags tell content, training data and, of each parent, the beginning of its digest and the most trusted edge.
        Returns the versions whose tags leave something open, such as a parent that nobody registered: give those to
        `update` with their manifests.
        """
        with self._writing():
            return self._add_claims(list(versions))

    def rebuild_from_tags(self, versions: Iterable[ModelVersion]) -> list[ModelVersion]:
        """Make this an index of what the tags of exactly `versions` tell; returns what `update_from_tags` does."""
        known = list(versions)
        with self._writing():
            self._clear()
            return self._add_claims(known)

    def claimed(self) -> set[str]:
        """Digests of the contents that are known from tags alone, or have no manifest."""
        asked = "SELECT digest FROM node JOIN content ON id = content WHERE confirmed = 0"
        return {row[0] for row in self._rows(asked)}

    def watermark_ms(self) -> int:
        """Creation time of the newest version, Unix time in ms; 0 when empty.

        Read on from here with 'at or after': several versions may be made in one millisecond.
        """
        return int(self._rows("SELECT ifnull(max(created_at_ms), 0) FROM version")[0][0])

    def ancestors(self, digest: str) -> set[str]:
        """All that `digest` descends from; `NotFound` for a digest that nothing is known of."""
        return self._walk(ANCESTORS, digest)

    def descendants(self, digest: str) -> set[str]:
        """All that descends from `digest`; `NotFound` for a digest that nothing is known of."""
        return self._walk(DESCENDANTS, digest)

    def addresses(self, digest: str) -> list[Address]:
        """Where this content is registered: (name, version), oldest first."""
        asked = (
            "SELECT name, version FROM version JOIN content ON id = content WHERE digest = ? "
            "ORDER BY created_at_ms, name, version"
        )
        return self._rows(asked, (check_digest(digest),))

    def digest_of(self, name: str, version: str) -> str:
        """Content of `name`/`version`; `NotFound` where it is not indexed."""
        asked = "SELECT digest FROM version JOIN content ON id = content WHERE name = ? AND version = ?"
        found = self._rows(asked, (name, version))
        if not found:
            raise NotFound(f"version '{printable(name)}/{printable(version)}' is not in {self.path}; update the index")
        return str(found[0][0])

    def trained_on(self, signature: str) -> list[str]:
        """Digests of the contents that were trained on data of this signature, sorted."""
        asked = (
            "SELECT digest FROM node JOIN content ON id = content "
            "WHERE signature = ? AND signature <> '' ORDER BY digest"
        )
        return [row[0] for row in self._rows(asked, (signature,))]

    def graph(self) -> LineageGraph:
        """All nodes and edges in memory, without metrics and parameters, which only manifests hold.

        Raises `LineageCycle` where the records contradict each other; `edges` with `cycles.acyclic` goes on without.
        """
        return LineageGraph(self.nodes(), self.edges())

    def nodes(self) -> Iterator[Node]:
        """Every registered content, once for each of its addresses."""
        asked = (
            "SELECT digest, name, version, signature, architecture, created_at "
            "FROM node JOIN version USING (content) JOIN content ON id = content"
        )
        for digest, name, version, signature, architecture, created_at in self._rows(asked):
            yield Node(digest, ((name, version),), signature, architecture, created_at=created_at)

    def edges(self) -> Iterator[Edge]:
        """Every edge of every origin."""
        for child, parent, origin, relation, confidence in self._rows(TOLD["edge"]):
            yield Edge(child, ParentEdge(parent, Relation(relation), Origin(origin), confidence))

    def counts(self) -> dict[str, int]:
        """Rows of each table."""
        return {table: self._rows(f"SELECT count(*) FROM {table}")[0][0] for table in CONTENT}  # noqa: S608 as above

    def digest(self) -> str:
        """SHA-256 over all rows in the order of their keys: equal for equal content, however it was filled."""
        total = hashlib.sha256()
        with self._told():
            for table in CONTENT:
                for row in self._db.execute(TOLD[table]):
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
            # whoever opens the file for one question shares the pages that the system has read already
            self._db.execute(f"PRAGMA mmap_size = {_MAPPED_BYTES}")
        if empty:
            self._create()

    def _create(self) -> None:
        with self._writing():
            if self._db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
                return  # another process was faster
            for statement in TABLES.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _clear(self) -> None:
        for table in (*CONTENT, "content"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 a name of our own

    def _add(self, entries: Iterable[Entry]) -> int:
        count = 0
        for batch in _batches(entries):
            count += len(batch)
            known = [entry.version for entry in batch if entry.version.digest]
            manifests = [entry.manifest for entry in batch if entry.manifest]
            self._retract(manifest.digest for manifest in manifests)
            edges = [Edge(manifest.digest, record) for manifest in manifests for record in manifest.parents]
            self._add_rows(known, map(node_of_version, known), edges)
            self._db.executemany(ADD_NODE, (_node_row(node_of(manifest), 1) for manifest in manifests))
        return count

    def _retract(self, digests: Iterable[str]) -> None:
        """Forget what only tags told of `digests`."""
        if not self._db.execute("SELECT EXISTS (SELECT 1 FROM node WHERE confirmed = 0)").fetchone()[0]:
            return
        for digest in digests:
            found = self._db.execute("SELECT id FROM content WHERE digest = ?", (digest,)).fetchone()
            for statement in RETRACT if found else ():
                self._db.execute(statement, {"id": found[0]})

    def _add_claims(self, versions: list[ModelVersion]) -> list[ModelVersion]:
        known = [version for version in versions if version.digest]
        self._db.executemany(ADD_CONTENT, ((check_digest(version.digest),) for version in known))
        confirmed = "SELECT confirmed FROM node JOIN content ON id = content WHERE digest = ?"
        open_to_claims = [v for v in known if self._db.execute(confirmed, (v.digest,)).fetchone() != (1,)]
        claims = claims_of(open_to_claims, self._beginning_with)
        self._add_rows(known, map(node_of_version, known), claims.edges)
        self._db.executemany(ADD_NODE, (_node_row(node, 0) for node in claims.nodes))
        return list(claims.unclear)

    def _beginning_with(self, prefix: str) -> list[str]:
        """At most two contents whose digests begin with the 12 characters `prefix`."""
        asked = "SELECT digest FROM content WHERE digest BETWEEN ? AND ? LIMIT 2"
        return [row[0] for row in self._db.execute(asked, (prefix, prefix + "g"))]

    def _add_rows(self, versions: list[ModelVersion], nodes: Iterable[Node], edges: Sequence[Edge]) -> None:
        # in the order of registration: relatives then have near numbers, and a walk touches few pages
        digests = dict.fromkeys(version.digest for version in versions)
        digests |= dict.fromkeys(digest for edge in edges for digest in (edge.parent, edge.child))
        self._db.executemany(ADD_CONTENT, ((check_digest(digest),) for digest in digests))
        self._db.executemany(ADD_VERSION, map(_version_row, versions))
        self._db.executemany(ADD_NODE, (_node_row(node, 0) for node in nodes))
        self._db.executemany(ADD_EDGE, map(_edge_row, edges))
        self._db.executemany(ADD_REVERSE, ((edge.parent, edge.child) for edge in edges))

    def _walk(self, asked: str, digest: str) -> set[str]:
        known = self._rows("SELECT id FROM content WHERE digest = ?", (check_digest(digest),))
        start = {"start": known[0][0] if known else None}
        found = {row[0] for row in self._rows(asked, start)}
        if not found and not self._rows(KNOWN, start):
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


def _version_row(version: ModelVersion) -> tuple[object, ...]:
    return version.name, version.version, version.digest, version.created_at_ms


def _node_row(node: Node, confirmed: int) -> tuple[object, ...]:
    return node.digest, node.signature, node.architecture, node.created_at, confirmed


def _edge_row(edge: Edge) -> tuple[object, ...]:
    record = edge.record
    return edge.child, record.digest, record.origin.value, record.relation.value, record.confidence
