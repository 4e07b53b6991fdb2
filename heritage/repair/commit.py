"""Writing a file whole or not at all, by one process at a time.

The temporary name follows from the target and a key made from content, so a later run finds and replaces what a killed
one left. A lock on the temporary file keeps a second worker with the same job away; the kernel drops it with its owner.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from heritage.errors import Conflict, Misconfigured, NotFound, Unavailable
from heritage.names import printable


def where(path: Path) -> str:
    """`path` as messages show it."""
    return printable(str(path), 300)


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """A descriptor of the file `path`, made where absent, which this process alone holds.

    Raises `Conflict` where another process holds it, `NotFound` for a missing folder, `Misconfigured` where the file
    may not be written.
    """
    with explained(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = _still_there(descriptor, path)
        except BlockingIOError:
            held = False
        if not held:
            raise Conflict(f"{where(path)}: another process is doing this very job; wait for it or stop it")
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def written(target: Path, key: str) -> Iterator[int]:
    """An empty file to write to; it takes the place of `target` when the block ends without an error.

    On an error the temporary file is removed; after a kill it stays until the next run with the same `key`.
    """
    temporary = target.with_name(f".{target.name[:180]}.{key[:16]}.partial")
    with locked(temporary) as descriptor:
        try:
            os.ftruncate(descriptor, 0)
            with explained(target):
                yield descriptor
                os.fsync(descriptor)
                os.replace(temporary, target)
                sync_folder(target.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def sync_folder(folder: Path) -> None:
    """Have the names in `folder` written to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the file system's refusals into errors that say what to do."""
    try:
        yield
    except OSError as error:
        reason = printable(str(error.strerror))
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise NotFound(f"{where(path)}: its folder does not exist; make it first") from error
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Unavailable(
                f"{where(path)}: cannot be written ({reason}); free some space and run it again"
            ) from error
        raise Misconfigured(f"{where(path)}: cannot be written ({reason}); check permissions and the disk") from error


def write_all(descriptor: int, data: memoryview) -> None:
    """Write all of `data` (bytes) at the descriptor's position."""
    done = 0
    while done < len(data):
        done += os.write(descriptor, data[done:])


def _still_there(descriptor: int, path: Path) -> bool:
    """False where the locked file was renamed away between opening and locking: it is somebody's result by now."""
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    held = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)
