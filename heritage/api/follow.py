"""Keeping the catalogue like the registry: one process at a time reads what changed, all others read the file.

Whoever asks for something older than `refresh_s` starts a refresh in the background and is answered from what is there.
Only the first filling, and one after a long rest, is waited for, and not for long.
"""

import fcntl
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from heritage.api.catalogue import Catalogue
from heritage.api.refresh import REFRESHED_AT, refresh
from heritage.errors import HeritageError, Misconfigured
from heritage.flows.context import Context
from heritage.names import printable

FIRST_WAIT_S, STALE_WAIT_S = 10.0, 2.0
_LONG_REST = 20.0  # times refresh_s: what is older than this is worth a short wait
# a refresh that takes long is done less often, so that it keeps at most a tenth of the time
_REST_FACTOR = 9.0
_RETRY_S = 2.0
_log = logging.getLogger(__name__)


class Follower:
    """One registry's catalogue in one process. Safe to share between threads; starts nothing before its first use."""

    def __init__(self, connect: Callable[[], Context]) -> None:
        """`connect` is called at first use; what it raises, whoever asks gets."""
        self._connect = connect
        self._lock = threading.Lock()
        self._context: Context | None = None
        self._thread: threading.Thread | None = None
        self._next_s = 0.0
        self._problem: HeritageError | None = None
        self.last_refresh_s = 0.0  # how long the last one of this process took

    @property
    def context(self) -> Context:
        """Connections of this process."""
        with self._lock:
            if self._context is None:
                self._context = self._connect()
            return self._context

    @contextmanager
    def catalogue(self) -> Iterator[Catalogue]:
        """The catalogue, for one question in this thread; `Unavailable` where it could not be filled yet."""
        with _opened(self.path()) as found:
            age = age_s(found)
            limit_s = self.context.settings.api.refresh_s
            if age > limit_s:
                self.start()
                self.wait(FIRST_WAIT_S if age == float("inf") else STALE_WAIT_S * (age > _LONG_REST * limit_s))
            if age == float("inf") and self._problem is not None and not found.noted(REFRESHED_AT):
                raise self._problem
            yield found

    def start(self, at_once: bool = False) -> None:
        """Begin a refresh in the background, unless one is under way or the last one was too costly to repeat yet."""
        with self._lock:
            rests = time.monotonic() < self._next_s and not at_once
            if rests or (self._thread is not None and self._thread.is_alive()):
                return
            self._thread = threading.Thread(target=self._refresh, name="heritage-catalogue", daemon=True)
            self._thread.start()

    def wait(self, limit_s: float) -> None:
        """Wait for the refresh that is under way, at most `limit_s`."""
        thread = self._thread
        if thread is not None and limit_s > 0:
            thread.join(limit_s)

    def _refresh(self) -> None:
        begun = time.monotonic()
        try:
            self._refresh_once()
            self._problem = None
        except HeritageError as error:
            self._problem = error
            _log.warning("the catalogue was not refreshed: %s", printable(str(error), 1000))
        finally:
            self.last_refresh_s = time.monotonic() - begun
            rest_s = max(_RETRY_S if self._problem else 0.0, _REST_FACTOR * self.last_refresh_s)
            self._next_s = time.monotonic() + rest_s

    def _refresh_once(self) -> None:
        path = self.path()
        with path.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process does it
            with _opened(path) as found:
                refresh(self.context, found)

    def path(self) -> Path:
        """Where the catalogue of this registry lies."""
        settings = self.context.settings
        # one file a registry: a working folder may serve several
        told = f"{settings.mlflow.tracking_uri}\n{settings.s3.endpoint_url}\n{settings.s3.bucket}"
        folder = settings.work_dir / "api"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"{folder}: cannot be made ({error}); set HERITAGE_WORK_DIR to another") from error
        return folder / f"catalogue-2-{hashlib.sha256(told.encode()).hexdigest()[:12]}.sqlite"


@contextmanager
def _opened(path: Path) -> Iterator[Catalogue]:
    """The catalogue at `path`; one that cannot be read is begun anew, since it is only a copy."""
    try:
        found = Catalogue(path)
    except Misconfigured as error:
        _log.warning("%s; it is begun anew", printable(str(error), 500))
        for end in ("", "-wal", "-shm"):
            path.with_name(path.name + end).unlink(missing_ok=True)
        found = Catalogue(path)
    with found:
        yield found


def age_s(found: Catalogue) -> float:
    """Seconds since the registry was last read; infinite before the first time."""
    told = found.noted(REFRESHED_AT)
    return (datetime.now(UTC) - datetime.fromisoformat(told)).total_seconds() if told else float("inf")
