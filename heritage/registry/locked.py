"""Copies of manifests in a bucket of their own, which nobody can change before their time is over.

    audit/<model>/<version>/<SHA-256 of what was said>/<SHA-256 of the manifest>.json

The key tells the content, so a copy is written once by a conditional put, however many processes try, and a manifest
is compared with its copies by listing them. Somebody may still write another object over a copy or mark it as deleted;
the locked version stays below and is found by its content.
"""

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from heritage.errors import BadInput, Misconfigured, NotFound
from heritage.lineage.codec import decode, encode
from heritage.lineage.statement import statement_sha256
from heritage.names import check_name, check_version
from heritage.records import Manifest, ModelVersion
from heritage.settings import AuditSettings
from heritage.storage import ObjectStore, ObjectVersion

PREFIX = "audit/"
_KEY = re.compile(r"audit/([^/]+/[0-9]+)/([0-9a-f]{64})/([0-9a-f]{64})\.json")


@dataclass(frozen=True, slots=True)
class Copy:
    """One state of a manifest that was copied; `touched` when somebody wrote over it or marked it as deleted."""

    address: str
    said_sha256: str
    sha256: str
    at: datetime
    touched: bool
    version_ids: tuple[str, ...]

    @property
    def key(self) -> str:
        """Where it lies."""
        return f"{PREFIX}{self.address}/{self.said_sha256}/{self.sha256}.json"


def manifest_sha256(manifest: Manifest) -> str:
    """SHA-256 of the manifest's canonical bytes."""
    return hashlib.sha256(encode(manifest)).hexdigest()


class LockedCopies:
    """The copies of one registry. Sends nothing until it is asked something."""

    def __init__(self, store: ObjectStore, settings: AuditSettings) -> None:
        """`store` is that of the registry; the copies lie in another bucket of the same server."""
        self._store = store.at_bucket(settings.bucket or f"{store.bucket}-audit")
        self._mode = settings.lock
        self._retention = timedelta(days=settings.retention_days)
        self._locks: bool | None = None
        self._first = threading.Lock()  # several threads may keep copies

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self._store.bucket

    def protects(self) -> bool:
        """Whether the server keeps copies from being removed; False also where there is no bucket yet."""
        try:
            return self._store.locks_objects()
        except Misconfigured:
            return False

    def keep(self, version: ModelVersion, manifest: Manifest) -> bool:
        """Copy the manifest; True where this call made the copy. Makes the bucket the first time.

        Raises `Misconfigured` where the bucket cannot be made, and where a lock is required and the server has none.
        """
        if self._mode == "off":
            return False
        with self._first:
            if self._locks is None:
                self._locks = self._ready()
        until = datetime.now(UTC) + self._retention if self._locks else None
        return self._store.create(_key(version, manifest), encode(manifest), until)

    def of(self, version: ModelVersion) -> tuple[Copy, ...]:
        """Copies of one version, oldest first."""
        address = f"{check_name(version.name)}/{check_version(version.version)}"
        return self._listed(f"{PREFIX}{address}/").get(address, ())

    def all(self) -> dict[str, tuple[Copy, ...]]:
        """Copies by address, oldest first; empty where nothing was ever copied. One request a 1,000 copies."""
        return self._listed(PREFIX)

    def _listed(self, prefix: str) -> dict[str, tuple[Copy, ...]]:
        found: dict[str, list[Copy]] = {}
        try:
            for copy in _copies(self._store.object_versions(prefix)):
                found.setdefault(copy.address, []).append(copy)
        except Misconfigured:  # no bucket yet
            return {}
        return {address: tuple(sorted(copies, key=lambda c: (c.at, c.sha256))) for address, copies in found.items()}

    def read(self, copy: Copy) -> Manifest:
        """The manifest that was copied; `NotFound` where no version of the object has the content its key tells."""
        for version_id in copy.version_ids:
            data = self._store.get_version(copy.key, version_id)
            if hashlib.sha256(data).hexdigest() == copy.sha256:
                return decode(data, f"s3://{self.bucket}/{copy.key}")
        raise NotFound(f"s3://{self.bucket}/{copy.key}: no version of it is the copy that was locked")

    def _ready(self) -> bool:
        """Whether copies are locked; makes the bucket where there is none."""
        try:
            locks = self._store.locks_objects()
        except Misconfigured:  # the bucket does not exist, or the server has no such request
            locks = self._make()
        if not locks and self._mode == "required":
            raise Misconfigured(
                f"bucket '{self.bucket}' at {self._store.endpoint} locks no objects; make it with object lock, or set "
                "HERITAGE_AUDIT__LOCK=auto"
            )
        return locks

    def _make(self) -> bool:
        try:
            self._store.make_bucket(object_lock=True)
            return self._store.locks_objects()
        except (BadInput, Misconfigured):
            if self._mode == "required":
                raise
            self._store.make_bucket()
            return False


def _key(version: ModelVersion, manifest: Manifest) -> str:
    address = f"{check_name(version.name)}/{check_version(version.version)}"
    return f"{PREFIX}{address}/{statement_sha256(manifest)}/{manifest_sha256(manifest)}.json"


def _copies(found: Iterator[ObjectVersion]) -> Iterator[Copy]:
    by_key: dict[str, list[ObjectVersion]] = {}
    for each in found:
        by_key.setdefault(each.key, []).append(each)
    for key, versions in by_key.items():
        parts = _KEY.fullmatch(key)
        real = [v for v in versions if not v.is_deleted]
        if parts and real:
            ids = tuple(v.version_id for v in real)
            yield Copy(parts[1], parts[2], parts[3], real[0].modified, len(versions) > 1, ids)
