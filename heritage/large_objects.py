"""Objects of gigabytes: read by position, written in parts; nobody sees half of one."""

from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from heritage.errors import Conflict, NotFound
from heritage.storage import ObjectStore, check_key

PART_BYTES = 16 * 2**20  # S3 asks for 5 MB to 5 GB a part, and at most 10,000 of them
MAX_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class LargeObject:
    """One object as it was when it was looked at; reading it fails where it changed since."""

    store: ObjectStore
    key: str
    size_bytes: int
    etag: str

    @classmethod
    def find(cls, store: ObjectStore, key: str) -> "LargeObject":
        """The object at `key`; `NotFound` where there is none."""
        head = store.call(lambda client: client.head_object(Bucket=store.bucket, Key=key), key)
        return cls(store, key, int(head["ContentLength"]), str(head["ETag"]))

    def read(self, start: int, count: int) -> bytes:
        """`count` bytes from `start` on, fewer at the end; `Conflict` where the object is another one by now."""
        count = min(count, self.size_bytes - start)
        if count <= 0:
            return b""
        span = f"bytes={start}-{start + count - 1}"

        def send(client: Any) -> bytes:
            answer = client.get_object(Bucket=self.store.bucket, Key=self.key, Range=span, IfMatch=self.etag)
            with closing(answer["Body"]) as body:
                return bytes(body.read())

        return self.store.call(send, self.key)


class Upload:
    """An object that is written piece after piece and appears whole, with `commit`, or never.

    Use it in a `with` statement: what was not committed at its end is given up.
    """

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store, self._key = store, check_key(key)
        made = store.call(lambda client: client.create_multipart_upload(Bucket=store.bucket, Key=key), key)
        self._id = str(made["UploadId"])
        self._parts: list[dict[str, Any]] = []
        self._pending = bytearray()
        self._open = True

    def __enter__(self) -> "Upload":
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            self._open = False
            with suppress(NotFound):  # it was completed, and the answer that said so was lost
                self._send("abort_multipart_upload")

    def write(self, piece: memoryview) -> None:
        """Add `piece` (bytes)."""
        self._pending += piece
        while len(self._pending) >= PART_BYTES:
            self._send_part(bytes(self._pending[:PART_BYTES]))
            del self._pending[:PART_BYTES]

    def commit(self) -> bool:
        """Let the object appear; False where one is there already, which is left as it is."""
        if self._pending or not self._parts:
            self._send_part(bytes(self._pending))
        try:
            self._send("complete_multipart_upload", MultipartUpload={"Parts": self._parts}, IfNoneMatch="*")
        except Conflict:
            return False
        except NotFound:
            # the answer to an earlier try was lost: the upload is gone because it was completed
            LargeObject.find(self._store, self._key)
        self._open = False
        return True

    def _send_part(self, data: bytes) -> None:
        number = len(self._parts) + 1
        answer = self._send("upload_part", PartNumber=number, Body=data)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    def _send(self, method: str, **arguments: Any) -> Any:
        bucket, key, upload = self._store.bucket, self._key, self._id
        return self._store.call(
            lambda client: getattr(client, method)(Bucket=bucket, Key=key, UploadId=upload, **arguments), key
        )
