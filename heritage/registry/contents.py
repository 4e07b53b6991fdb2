"""Weights on disk as they are about to be registered: digest, files, and a stamp to notice later changes."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from heritage.errors import UnsafeCheckpoint
from heritage.names import check_file_name, printable
from heritage.records import WeightsFile
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.layout import INDEX_SUFFIX
from heritage.weights.limits import Limits
from heritage.weights.shard import open_regular

CHUNK_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file and what it was when it was hashed; `stamp` is (device, inode, size, time of change in ns)."""

    path: Path
    record: WeightsFile
    stamp: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Contents:
    """The weights of one model: canonical digest, commonest dtype, number of elements, and their files."""

    digest: str
    dtype: str
    parameters: int
    files: tuple[LocalFile, ...]


def measure(path: Path, limits: Limits) -> Contents:
    """The weights at `path`: a safetensors file, an index, or a folder with one of them. Reads every byte twice.

    Raises `NotFound`, and `UnsafeCheckpoint` where a file breaks a rule or changes while it is read.
    """
    with Checkpoint.open(path, limits) as checkpoint:
        where = printable(str(checkpoint.path), 300)
        files = tuple(measure_file(file) for file in [*checkpoint.files, *_index(path)])
        for file in files:
            check_file_name(file.record.name, where)
        contents = Contents(checkpoint.digest, checkpoint.dtype, checkpoint.parameters, files)
    check_unchanged(files)
    return contents


def check_unchanged(files: Iterable[LocalFile]) -> None:
    """Raise `UnsafeCheckpoint` where a file is no longer the one that was measured."""
    for file in files:
        if _stamp(file.path) != file.stamp:
            raise UnsafeCheckpoint(
                f"{printable(str(file.path), 300)}: changed while it was being registered; nothing was registered; "
                "wait until it is written, then register it again"
            )


def measure_file(path: Path) -> LocalFile:
    """One regular file with its SHA-256; links are not followed."""
    with os.fdopen(open_regular(path), "rb") as file:
        stamp = _stamp(path)
        state, size = hashlib.sha256(), 0
        while chunk := file.read(CHUNK_BYTES):
            state.update(chunk)
            size += len(chunk)
    return LocalFile(path, WeightsFile(path.name, state.hexdigest(), size), stamp)


def _index(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob(f"*{INDEX_SUFFIX}"))
    return [path] if path.name.endswith(INDEX_SUFFIX) else []


def _stamp(path: Path) -> tuple[int, int, int, int]:
    status = os.stat(path, follow_symlinks=False)
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
