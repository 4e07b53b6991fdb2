"""Objects in S3-compatible storage.

The commit primitive is the conditional put (`If-None-Match: *` and `If-Match`, RFC 9110 section 13.1): `create` and
`replace` say who won a race. A server that ignores the conditions (rclone does) would let everybody win; `probe`
finds that out before anything depends on it.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import stamina

from heritage.errors import BadInput, Conflict, Misconfigured, NotFound, Unavailable, UnsafeName
from heritage.names import check_name, printable
from heritage.s3_calls import client, translated
from heritage.settings import S3Settings

MAX_KEY = 1024  # bytes; the limit of S3
MAX_WAIT_S = 2.0  # between two tries
# user metadata that tells a write from an equal one by somebody else
_WRITER = "heritage-writer"


T = TypeVar("T")


@dataclass(frozen=True)
class Stored:
    """An object's content and the ETag (quoted, as the server gave it) that `replace` wants back."""

    data: bytes
    etag: str


@dataclass(frozen=True)
class ObjectVersion:
    """One version of an object; `is_deleted` for a delete marker, which hides the versions below it."""

    key: str
    version_id: str
    modified: datetime
    is_deleted: bool = False


def check_key(key: str) -> str:
    """`key` itself if every segment between slashes is a name of the naming policy, else `UnsafeName`."""
    if len(key) > MAX_KEY:
        raise UnsafeName(f"key '{printable(key, 40)}' is longer than {MAX_KEY} bytes; use shorter names")
    for segment in key.split("/"):
        check_name(segment, f"part of the key '{printable(key)}'")
    return key


def check_prefix(prefix: str) -> str:
    """`prefix` itself if it is empty or the beginning of a key, else `UnsafeName`."""
    if prefix:
        # an unfinished last segment is completed by a letter that ends any name
        check_key(prefix + "0")
    return prefix


class ObjectStore:
    """One bucket. Safe to share between threads; make another one after a fork.

    Every call keeps the settings' deadline, retries included, and raises `Unavailable` when it has passed,
    `Misconfigured` for a wrong key, address or bucket, and `UnsafeName` for a key that breaks the naming policy.
    """

    def __init__(self, client: Any, bucket: str, endpoint: str, deadline_s: float) -> None:
        self._client = client
        self._deadline_s = deadline_s
        self.bucket = bucket
        self.endpoint = endpoint

    @classmethod
    def connect(cls, settings: S3Settings) -> "ObjectStore":
        """The store that `settings` describe. Sends nothing yet: see `probe`."""
        made = client(settings)
        return cls(made, settings.bucket, str(made.meta.endpoint_url), settings.deadline_s)

    def get(self, key: str) -> bytes:
        """Content of the object; `NotFound` where there is none."""
        return self.read(key).data

    def read(self, key: str) -> Stored:
        """Content and ETag of the object, complete or not at all; `NotFound` where there is none."""
        check_key(key)

        def call() -> Stored:
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            # not `with answer["Body"]`: that gives the raw stream, without the checks of length and checksum
            with closing(answer["Body"]) as body:
                return Stored(body.read(), answer["ETag"])

        return self._retried(call, key)

    def create(self, key: str, data: bytes, locked_until: datetime | None = None) -> bool:
        """Write the object unless one is there; True for the one writer that made it, False for all others.

        Nobody can remove it before `locked_until` (object lock, mode COMPLIANCE), in a bucket that was made for it.
        """
        lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": locked_until} if locked_until else {}
        return self._conditional_put(key, data, IfNoneMatch="*", **lock)

    def replace(self, key: str, data: bytes, etag: str) -> bool:
        """Write the object if it still is the one that `read` gave `etag` for; False when it changed or went."""
        return self._conditional_put(key, data, IfMatch=etag)

    def put(self, key: str, data: bytes) -> None:
        """Write the object, whatever was there."""
        check_key(key)
        self._retried(lambda: self._client.put_object(Bucket=self.bucket, Key=key, Body=data), key)

    def list(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with `prefix`, in the order of their bytes; one request a 1,000 keys."""
        check_prefix(prefix)
        token: dict[str, str] = {}
        while True:
            page = self._page(prefix, token)
            yield from (item["Key"] for item in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        # asked by list, since the answer to HEAD cannot tell a missing bucket from a missing object
        page = self._page(check_key(key), {}, limit=1)
        return any(item["Key"] == key for item in page.get("Contents", ()))

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""
        check_key(key)
        self._retried(lambda: self._client.delete_object(Bucket=self.bucket, Key=key), key)

    def object_versions(self, prefix: str = "") -> Iterator["ObjectVersion"]:
        """Every version and delete marker of every key that begins with `prefix`, in the order of their keys."""
        check_prefix(prefix)
        token: dict[str, str] = {}
        while True:
            page = self._version_page(prefix, token)
            yield from _object_versions(page)
            if not page.get("IsTruncated"):
                return
            token = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page.get("NextVersionIdMarker", "")}

    def get_version(self, key: str, version_id: str) -> bytes:
        """Content of one version of the object; `NotFound` where there is none."""
        check_key(key)

        def call() -> bytes:
            answer = self._client.get_object(Bucket=self.bucket, Key=key, VersionId=version_id)
            with closing(answer["Body"]) as body:
                return bytes(body.read())

        return self._retried(call, key)

    def at_bucket(self, bucket: str) -> "ObjectStore":
        """The same server, keys and deadline, with another bucket."""
        return ObjectStore(self._client, bucket, self.endpoint, self._deadline_s)

    def locks_objects(self) -> bool:
        """Whether the bucket was made for object lock; `Misconfigured` where there is no such bucket."""
        try:
            found = self._retried(lambda: self._client.get_object_lock_configuration(Bucket=self.bucket), "")
        except (BadInput, NotFound):  # no configuration, or a server that knows of none
            return False
        return str(found.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled", "")) == "Enabled"

    def make_bucket(self, object_lock: bool = False) -> None:
        """Make the bucket unless this account has it already; for servers of one's own and for tests."""
        lock = {"ObjectLockEnabledForBucket": True} if object_lock else {}
        try:
            self._retried(lambda: self._client.create_bucket(Bucket=self.bucket, **lock), "")
        except Conflict:
            self._page("", {}, limit=1)

    def probe(self) -> None:
        """Check the address, the bucket, the keys, and that conditional puts are honoured.

        Writes and removes one small object under `probe/`. Raises `Misconfigured` with the remedy, or `Unavailable`.
        """
        self._page("probe/", {}, limit=1)
        key = f"probe/{uuid.uuid4().hex}"
        try:
            honoured = self.create(key, b"first") and not self.create(key, b"second")
            honoured = honoured and not self.replace(key, b"third", '"00000000000000000000000000000000"')
            stored = self.read(key)
            honoured = honoured and stored.data == b"first" and self.replace(key, b"fourth", stored.etag)
        finally:
            self.delete(key)
        if not honoured:
            raise Misconfigured(
                f"{self.endpoint} does not honour If-None-Match and If-Match, so two workers could both win; "
                "use a server that does (SeaweedFS, AWS S3), not rclone"
            )

    def call(self, send: Callable[[Any], T], key: str) -> T:
        """What `send` gets from the S3 client, retried within the deadline; for `heritage.large_objects`."""
        check_key(key)
        return self._retried(lambda: send(self._client), key)

    def _page(self, prefix: str, token: dict[str, str], limit: int = 1000) -> dict[str, Any]:
        def call() -> dict[str, Any]:
            page: dict[str, Any] = self._client.list_objects_v2(
                Bucket=self.bucket, Prefix=prefix, MaxKeys=limit, **token
            )
            return page

        return self._retried(call, prefix)

    def _version_page(self, prefix: str, token: dict[str, str]) -> dict[str, Any]:
        def call() -> dict[str, Any]:
            page: dict[str, Any] = self._client.list_object_versions(Bucket=self.bucket, Prefix=prefix, **token)
            return page

        return self._retried(call, prefix)

    def _conditional_put(self, key: str, data: bytes, **condition: Any) -> bool:
        """True when this call's write took place, also when the answer that said so was lost on the way."""
        check_key(key)
        writer = uuid.uuid4().hex
        tries = 0

        def call() -> bool:
            nonlocal tries
            tries += 1
            self._client.put_object(Bucket=self.bucket, Key=key, Body=data, Metadata={_WRITER: writer}, **condition)
            return True

        try:
            return self._retried(call, key)
        except NotFound:  # `replace` of an object that went
            return False
        except Conflict:
            return tries > 1 and self._written_by(key) == writer

    def _written_by(self, key: str) -> str:
        def call() -> str:
            head = self._client.head_object(Bucket=self.bucket, Key=key)
            return str(head["Metadata"].get(_WRITER, ""))

        try:
            return self._retried(call, key)
        except NotFound:
            return ""

    def _retried(self, call: Callable[[], T], key: str) -> T:
        """What `call` returns, tried again while the fault may pass and the deadline has not."""
        started = time.monotonic()
        longest_s = min(MAX_WAIT_S, self._deadline_s / 8)
        where = f"s3://{self.bucket}/{key} at {self.endpoint}"

        def left_s() -> float:
            return self._deadline_s - (time.monotonic() - started)

        def wait(error: Exception) -> bool | float:
            """False to stop, True for the usual back-off, or seconds: the last tries halve what is left."""
            if not isinstance(error, Unavailable) or left_s() < 0.05:
                return False
            return left_s() > 2 * longest_s or left_s() / 2

        try:
            for attempt in stamina.retry_context(
                on=wait, attempts=None, timeout=None, wait_max=longest_s, wait_jitter=longest_s / 10
            ):
                with attempt:
                    return translated(call, where, left_s())
        except Unavailable as error:
            raise Unavailable(
                f"{error}; tried {attempt.num} times in {self._deadline_s - left_s():.1f} s (limit "
                f"{self._deadline_s:g} s, HERITAGE_S3__DEADLINE_S); check that the server runs and is reachable"
            ) from error
        raise AssertionError("stamina tries until it returns or raises")


def _object_versions(page: dict[str, Any]) -> list[ObjectVersion]:
    found = [ObjectVersion(v["Key"], v["VersionId"], v["LastModified"]) for v in page.get("Versions", ())]
    found += [ObjectVersion(m["Key"], m["VersionId"], m["LastModified"], True) for m in page.get("DeleteMarkers", ())]
    return sorted(found, key=lambda v: (v.key, v.modified))
