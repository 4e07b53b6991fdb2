"""A record in storage that one process at a time may change: conditional put, an owner, and a time to live.

The owner proves that it is alive by writing again before `expires_at_s` passes (seconds of the epoch, by the writer's
clock; clocks must agree to well within the lease). Whoever finds the time passed may take the record over. An owner
that was overtaken finds out at its next write, which fails: the write is compare-and-swap.
"""

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any, Generic, TypeVar, get_type_hints

from heritage.errors import Conflict, HeritageError, NotFound
from heritage.lineage.fields import parse_json
from heritage.storage import ObjectStore

MAX_RECORD_BYTES = 2**20
MAX_TEXT = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """What every leased record has; `state` is the record's own word for how far it came."""

    owner: str = ""
    expires_at_s: float = 0.0
    state: str


R = TypeVar("R", bound=Owned)


class LeaseLost(Conflict):
    """Another process took the record over; what the loser made since then counts for nothing."""


@dataclass(frozen=True)
class Found(Generic[R]):
    """A record as it was read, with what `replace` wants back."""

    record: R
    etag: str


def encode(record: Owned) -> bytes:
    """`record` as canonical JSON."""
    return json.dumps(asdict(record), sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def find(store: ObjectStore, key: str, kind: type[R]) -> Found[R] | None:
    """The record at `key`, or None; `BadInput` where the object is no such record."""
    try:
        stored = store.read(key)
    except NotFound:
        return None
    document = parse_json(stored.data, f"s3://{store.bucket}/{key}", MAX_RECORD_BYTES)
    types = get_type_hints(kind)
    parts = document.record([field.name for field in fields(kind)])
    readers = {str: lambda f: f.text(MAX_TEXT), float: lambda f: f.number(), int: lambda f: f.integer()}
    return Found(kind(**{name: readers[types[name]](part) for name, part in parts.items()}), stored.etag)


class Lease(Generic[R]):
    """The right to change the record at `key`; made by `begin` or `take_over`. Safe to share between threads."""

    def __init__(self, store: ObjectStore, key: str, found: Found[R], lease_s: float, now: Callable[[], datetime]):
        self._store = store
        self._found = found
        self._lease_s = lease_s
        self._now = now
        self._lock = threading.Lock()
        self._lost = False
        self.key = key

    @classmethod
    def begin(
        cls, store: ObjectStore, key: str, record: R, lease_s: float, now: Callable[[], datetime]
    ) -> "Lease[R] | None":
        """The lease on a new record, or None where there is one already."""
        owned = replace(record, owner=secrets.token_hex(16), expires_at_s=now().timestamp() + lease_s)
        if not store.create(key, encode(owned)):
            return None
        mine = find(store, key, type(record))
        return cls(store, key, mine, lease_s, now) if mine and mine.record == owned else None

    @classmethod
    def take_over(
        cls, store: ObjectStore, key: str, found: Found[R], lease_s: float, now: Callable[[], datetime], state: str
    ) -> "Lease[R] | None":
        """The lease on a record whose owner gave no sign of life, or None where somebody else was quicker."""
        lease = cls(store, key, found, lease_s, now)
        return lease if lease._write(owner=secrets.token_hex(16), state=state) else None

    @property
    def record(self) -> R:
        """The record as this process wrote it last."""
        return self._found.record

    def update(self, **changes: object) -> None:
        """Write `changes` and a new time to live; `LeaseLost` where another process has taken the record over."""
        with self._lock:
            if not self._lost and not self._write(**changes):
                # a write whose answer was lost may have taken place: then the record still names this owner
                current = find(self._store, self.key, type(self.record))
                ours = current is not None and current.record.owner == self.record.owner
                self._found = current if ours and current else self._found
                self._lost = not ours or not self._write(**changes)
            if self._lost:
                raise LeaseLost(f"s3://{self._store.bucket}/{self.key}: another process took this record over")

    def is_lost(self) -> bool:
        """Whether another process has taken the record over, asked now; False where storage does not answer."""
        try:
            self.update()
        except LeaseLost:
            return True
        except HeritageError:
            return False
        return False

    def release(self) -> None:
        """Let others go on at once; for an owner that failed and says so."""
        try:
            self.update(expires_at_s=0.0)
        except HeritageError:
            return  # the lease runs out by itself

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keeps the lease alive during the block, by a thread that writes every third of its time."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self._lease_s / 3):
                try:
                    self.update()
                except HeritageError:
                    if self._lost:
                        return

        thread = threading.Thread(target=beat, name="heritage-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _write(self, **changes: object) -> bool:
        expires_at_s = self._now().timestamp() + self._lease_s
        known: dict[str, Any] = {"expires_at_s": expires_at_s, **changes}
        record = replace(self.record, **known)
        if not self._store.replace(self.key, encode(record), self._found.etag):
            return False
        mine = find(self._store, self.key, type(record))
        if mine is None or mine.record != record:
            return False
        self._found = mine
        return True
