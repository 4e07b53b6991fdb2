"""One safetensors file on disk: opened once, never by following a link, and read by position."""

import errno
import io
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.errors import NotFound, UnsafeCheckpoint
from heritage.names import printable
from heritage.weights.header import Header, header_length, parse_header, refuse
from heritage.weights.limits import Limits

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CHANGED = "leave it alone while it is read, and try again"


def open_regular(path: Path, folder: int | None = None) -> int:
    """A file descriptor for the regular file `path`, which stays open under the caller's care.

    With `folder`, a directory's descriptor, only the last part of `path` is looked up, inside that folder. Links of
    both kinds, pipes, devices and files that are mostly holes raise `UnsafeCheckpoint`; absence raises `NotFound`.
    Never blocks.
    """
    where = printable(str(path), 300)
    try:
        descriptor = os.open(path if folder is None else path.name, _FLAGS, dir_fd=folder)
    except (OSError, ValueError) as error:
        raise _open_error(error, where) from error
    try:
        _check_regular(os.fstat(descriptor), where)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_error(error: OSError | ValueError, where: str) -> Exception:
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.ENOENT, errno.ENOTDIR):
        return NotFound(f"{where}: there is no such file; check the path")
    if code == errno.ELOOP:
        return UnsafeCheckpoint(f"{where}: is a symbolic link, which is not followed; give the file it points to")
    if code in (errno.EACCES, errno.EPERM):
        return UnsafeCheckpoint(f"{where}: may not be read by this user; change its permissions")
    return UnsafeCheckpoint(f"{where}: cannot be opened ({printable(str(error))}); check the path and the file system")


def _check_regular(status: os.stat_result, where: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        refuse(where, "is not a regular file", "give a plain file")
    if status.st_nlink > 1:
        refuse(where, f"has {status.st_nlink} hard links, so others may change it unseen", "copy it and use the copy")
    on_disk = status.st_blocks * 512
    if status.st_size > 2**30 and 0 < on_disk < status.st_size // 64:
        refuse(where, f"claims {status.st_size} bytes but only {on_disk} are on disk", "fetch it again")


class Shard:
    """An open safetensors file with a checked header. Reading is safe from several threads."""

    def __init__(self, path: Path, limits: Limits, folder: int | None = None) -> None:
        self.path = path
        self.where = printable(str(path), 300)
        # closed by the object's end too, with a ResourceWarning, where somebody forgot `close`
        self._file = io.FileIO(open_regular(path, folder))
        try:
            self._status = self._stamp()
            size = self._status[0]
            length = header_length(os.pread(self._file.fileno(), 8, 0), size, self.where, limits)
            self.data_start = 8 + length
            raw = os.pread(self._file.fileno(), length, 8)
            self.header: Header = parse_header(raw, size - self.data_start, self.where, limits)
        except BaseException:
            self._file.close()
            raise

    @property
    def size_bytes(self) -> int:
        """Size of the whole file."""
        return self._status[0]

    def close(self) -> None:
        """Give the file back; reading afterwards raises `UnsafeCheckpoint`."""
        self._file.close()

    def read_into(self, buffer: NDArray[Any], offset: int) -> None:
        """Fill `buffer` (contiguous bytes) from the file's byte `offset` on.

        Raises `UnsafeCheckpoint` where the file was cut or rewritten since it was opened.
        """
        if self._file.closed:
            refuse(self.where, "was closed", "read inside the `with` block")
        view, done = buffer.data.cast("B") if buffer.size else memoryview(b""), 0
        while done < len(view):
            try:
                count = os.preadv(self._file.fileno(), [view[done:]], offset + done)
            except OSError as error:
                refuse(self.where, f"cannot be read ({printable(str(error))})", "check the disk and try again")
            if count == 0:
                refuse(self.where, "was cut while it was read", _CHANGED)
            done += count
        if self._stamp() != self._status:
            refuse(self.where, "was changed while it was read", _CHANGED)

    def read_bytes(self, offset: int, count: int) -> NDArray[np.uint8]:
        """`count` bytes from the file's byte `offset` on, uint8 of shape (count,)."""
        buffer = np.empty(count, np.uint8)
        self.read_into(buffer, offset)
        return buffer

    def _stamp(self) -> tuple[int, int]:
        status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns
