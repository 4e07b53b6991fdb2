"""A model's weights as a read-only view: checked when opened, read tensor by tensor, digested by content.

Files are read by position into memory of our own rather than mapped: a file that somebody cuts while it is mapped
kills the process (SIGBUS), a short read is an error like any other. Nothing is read before it is asked for.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput, NotFound
from heritage.names import printable
from heritage.weights.dtypes import BITS, FLOATS, decode, torch_dtype
from heritage.weights.layout import open_shards
from heritage.weights.limits import Limits
from heritage.weights.shard import Shard

if TYPE_CHECKING:
    import torch

CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: its type as safetensors writes it ('F32', 'BF16', ...), and where its bytes are.

    `offset` counts from the start of `file`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int
    size_bytes: int

    @property
    def count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_float(self) -> bool:
        """True for every real floating type, however narrow."""
        return self.dtype in FLOATS


class Checkpoint:
    """The weights of one model. Open it with `Checkpoint.open` in a `with` statement.

    `tensors` are in name order. `metadata` is what the files' authors wrote: text from outside, never truth.
    """

    def __init__(self, path: Path, shards: list[Shard]) -> None:
        self.path = path
        self.where = printable(str(path), 300)
        self._shards = {shard.path: shard for shard in shards}
        found = [
            TensorInfo(n, e.dtype, e.shape, s.path, s.data_start + e.begin, e.end - e.begin)
            for s in shards
            for n, e in s.header.tensors.items()
        ]
        self._in_file_order = found
        self.tensors: Mapping[str, TensorInfo] = MappingProxyType({t.name: t for t in sorted(found, key=_name)})
        self.metadata: Mapping[str, str] = MappingProxyType(
            {k: v for s in shards for k, v in s.header.metadata.items()}
        )

    @classmethod
    def open(cls, path: Path, limits: Limits = Limits()) -> Self:  # noqa: B008 - frozen
        """The model at `path`: a safetensors file, a shard index, or a folder with one of them.

        Raises `NotFound` where nothing is there and `UnsafeCheckpoint` where a file breaks a rule of the format or a
        limit; no file stays open then. Reads the headers only.
        """
        path = Path(path)
        return cls(path, open_shards(path, limits))

    def close(self) -> None:
        """Close the files."""
        for shard in self._shards.values():
            shard.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def files(self) -> tuple[Path, ...]:
        """The safetensors files, in name order."""
        return tuple(self._shards)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(shard.size_bytes for shard in self._shards.values())

    @property
    def parameters(self) -> int:
        """Number of elements of all tensors."""
        return sum(t.count for t in self.tensors.values())

    @property
    def dtype(self) -> str:
        """The float type with most elements ('F32'), or the commonest type where there are no floats; '' if empty."""
        counts: Counter[tuple[bool, str]] = Counter()
        for t in self.tensors.values():
            counts[t.is_float, t.dtype] += t.count
        # floats first, then by count; the name breaks ties so that the order of tensors does not
        return max(counts, key=lambda k: (k[0], counts[k], k[1]), default=(False, ""))[1]

    def info(self, name: str) -> TensorInfo:
        """The tensor called `name`, else `NotFound` naming some that exist."""
        if name not in self.tensors:
            some = ", ".join(printable(n, 60) for n in list(self.tensors)[:5])
            raise NotFound(f"{self.where}: no tensor '{printable(name, 60)}'; it holds {len(self.tensors)}: {some}")
        return self.tensors[name]

    def read(self, name: str) -> NDArray[Any]:
        """The tensor's values in its own numpy type; BF16, F8 and F4 come as float32, exactly."""
        info = self.info(name)
        return decode(self._bytes(info), info.dtype).reshape(info.shape)

    def read_f32(self, name: str) -> NDArray[np.float32]:
        """The tensor's values as float32; F64 beyond its range becomes infinite; complex numbers raise `BadInput`."""
        info = self.info(name)
        if info.dtype == "C64":
            raise BadInput(f"{self.where}: tensor '{printable(name, 60)}' is complex (C64); take its real part first")
        with np.errstate(over="ignore"):
            return self.read(name).astype(np.float32, copy=False)

    def chunks(self, name: str, size_bytes: int = CHUNK_BYTES) -> Iterator[memoryview]:
        """The tensor's stored bytes in order, in pieces of at most `size_bytes` that never cut an element.

        Every piece is memory of its own; an empty tensor gives none.
        """
        info = self.info(name)
        item = max(1, BITS[info.dtype] // 8)
        step = max(item, size_bytes - size_bytes % item)
        shard = self._shards[info.file]
        for start in range(0, info.size_bytes, step):
            yield shard.read_bytes(info.offset + start, min(step, info.size_bytes - start)).data

    def read_into(self, name: str, start: int, buffer: NDArray[Any]) -> None:
        """Fill `buffer` with the tensor's stored bytes from its byte `start` on; for callers that reuse memory."""
        self.reader(name)(start, buffer)

    def reader(self, name: str) -> Callable[[int, NDArray[Any]], None]:
        """`read_into` for one tensor, for callers that read it in many pieces."""
        info = self.info(name)
        shard = self._shards[info.file]

        def read(start: int, buffer: NDArray[Any]) -> None:
            end = start + buffer.nbytes
            if start < 0 or end > info.size_bytes:
                raise BadInput(f"{self.where}: bytes {start} to {end} are not in tensor '{printable(name, 60)}'")
            shard.read_into(buffer, info.offset + start)

        return read

    def header_bytes(self, file: Path) -> bytes:
        """What stands in `file` before the first tensor: length field and header, as they are."""
        shard = self._shards[file]
        return shard.read_bytes(0, shard.data_start).tobytes()

    def torch_state(self) -> dict[str, "torch.Tensor"]:
        """Every tensor in its own torch type, in name order; each has its own memory.

        F4 comes packed as torch keeps it: the last dimension is half as long.
        """
        import torch

        state = {}
        for info in self.tensors.values():
            # a view of nothing has strides of 0, from which torch makes no other type; so memory first, bytes after
            shape = (*info.shape[:-1], info.shape[-1] // 2) if info.dtype == "F4" else info.shape
            state[info.name] = torch.empty(shape, dtype=torch_dtype(info.dtype))
            if info.size_bytes:
                self.read_into(info.name, 0, state[info.name].reshape(-1).view(torch.uint8).numpy())
        return state

    def tensor_digests(self) -> dict[str, str]:
        """SHA-256 of each tensor's type, shape and bytes, by name; equal for equal tensors under any name.

        Reads every byte once, then is remembered.
        """
        return dict(self._digests)

    @property
    def digest(self) -> str:
        """SHA-256 of the model: names and tensor digests in name order.

        Independent of file order, shard split and metadata; reads every byte once.
        """
        return model_digest(self._digests)

    def non_finite(self) -> dict[str, int]:
        """Number of NaN and infinite elements of each float tensor that has any."""
        counts: Counter[str] = Counter()
        for info in self.tensors.values():
            if info.is_float or info.dtype == "C64":
                for chunk in self.chunks(info.name):
                    values = decode(np.frombuffer(chunk, np.uint8), info.dtype)
                    counts[info.name] += int(values.size - np.count_nonzero(np.isfinite(values)))
        return {name: count for name, count in counts.items() if count}

    @cached_property
    def _digests(self) -> dict[str, str]:
        found = {}
        for info in self._in_file_order:
            state = digest_start(info)
            for chunk in self.chunks(info.name):
                state.update(chunk)
            found[info.name] = state.hexdigest()
        return {name: found[name] for name in self.tensors}

    def _bytes(self, info: TensorInfo) -> NDArray[np.uint8]:
        return self._shards[info.file].read_bytes(info.offset, info.size_bytes)


def digest_start(info: TensorInfo) -> "hashlib._Hash":
    """The hash of a tensor before its bytes; feed them in order and take the hexadecimal result."""
    return hashlib.sha256(json.dumps([info.dtype, list(info.shape)]).encode() + b"\0")


def model_digest(tensor_digests: Mapping[str, str]) -> str:
    """SHA-256 of a model from its tensors' digests by name."""
    lines = [f"{json.dumps(name)} {tensor_digests[name]}\n" for name in sorted(tensor_digests)]
    return hashlib.sha256("".join(["heritage weights 1\n", *lines]).encode()).hexdigest()


def _name(info: TensorInfo) -> str:
    return info.name
