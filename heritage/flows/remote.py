"""Weights that lie in storage, read by position: the same checks and the same view as for files on disk."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.large_objects import PART_BYTES, LargeObject
from heritage.storage import ObjectStore
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.header import header_length, parse_header, refuse, strict_json
from heritage.weights.layout import INDEX_SUFFIX, MAX_SHARDS
from heritage.weights.limits import Limits
from heritage.weights.shard import Shard


class RemoteShard(Shard):
    """One safetensors object. Reads 16 MB at a time and remembers the last, so neighbours cost one request."""

    def __init__(self, store: ObjectStore, key: str, limits: Limits) -> None:
        self.path = Path(key)
        self.where = f"s3://{store.bucket}/{key}"
        self._object = LargeObject.find(store, key)
        self._start, self._held = 0, b""
        size = self._object.size_bytes
        length = header_length(self._object.read(0, 8), size, self.where, limits)
        self.data_start = 8 + length
        self.header = parse_header(self._object.read(8, length), size - self.data_start, self.where, limits)

    @property
    def size_bytes(self) -> int:
        """Size of the whole object."""
        return self._object.size_bytes

    def close(self) -> None:
        """Let go of what is remembered."""
        self._held = b""

    def read_into(self, buffer: NDArray[Any], offset: int) -> None:
        """Fill `buffer` (contiguous bytes) from the object's byte `offset` on; `Conflict` where it changed."""
        view, done = buffer.data.cast("B") if buffer.size else memoryview(b""), 0
        while done < len(view):
            at = offset + done - self._start
            if not 0 <= at < len(self._held):
                self._start, self._held = offset + done, self._object.read(offset + done, PART_BYTES)
                at = 0
                if not self._held:
                    refuse(self.where, "ends before its last tensor")
            piece = self._held[at : at + len(view) - done]
            view[done : done + len(piece)] = piece
            done += len(piece)


@contextmanager
def open_remote(store: ObjectStore, key: str, limits: Limits = Limits()) -> Iterator[Checkpoint]:  # noqa: B008 frozen
    """The model at `key`: a safetensors object, or the index of shards beside it."""
    with Checkpoint(Path(key), _shards(store, key, limits)) as checkpoint:
        yield checkpoint


def _shards(store: ObjectStore, key: str, limits: Limits) -> list[Shard]:
    if not key.endswith(INDEX_SUFFIX):
        return [RemoteShard(store, key, limits)]
    names = sorted(set(_weight_map(store, key, limits).values()))
    if not 0 < len(names) <= MAX_SHARDS:
        refuse(f"s3://{store.bucket}/{key}", f"names {len(names)} shards; allowed are 1 to {MAX_SHARDS}")
    folder = key.rpartition("/")[0]
    shards = [RemoteShard(store, f"{folder}/{name}" if folder else name, limits) for name in names]
    held = {tensor: shard.path.name for shard in shards for tensor in shard.header.tensors}
    if held != _weight_map(store, key, limits):
        refuse(f"s3://{store.bucket}/{key}", "and its shards do not hold the same tensors")
    return list(shards)


def _weight_map(store: ObjectStore, key: str, limits: Limits) -> dict[str, str]:
    where = f"s3://{store.bucket}/{key}"
    index = LargeObject.find(store, key)
    if index.size_bytes > limits.max_header_bytes:
        raise BadInput(f"{where}: an index of {index.size_bytes} bytes; the limit is {limits.max_header_bytes}")
    found = strict_json(index.read(0, index.size_bytes), where, "the index").get("weight_map")
    if not isinstance(found, dict) or not all(isinstance(v, str) and "/" not in v for v in found.values()):
        refuse(where, "has no 'weight_map' from tensor names to plain file names")
    return found
