"""What a serving process embeds: it counts what the model sees and says, and never disturbs the serving.

`observe` copies a batch and returns; a thread of its own counts and flushes. Memory is bounded, errors are counted and
logged instead of raised, and rows that had to be dropped are counted and told in the next window that is written.
"""

import atexit
import logging
import os
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from heritage.drift.batches import Batch, Inputs, copied, frames, predictions, rows_of, together
from heritage.drift.outbox import Address, Outbox, Sink
from heritage.drift.profile import DriftProfile
from heritage.names import check_name

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """When the agent counts and flushes, and how much it may hold.

    `fold_rows` are counted together; `max_waiting_rows` may wait for that, beyond it the caller's thread helps. A flush
    is due after `flush_rows` rows or `flush_s` seconds. `close_s` is how long closing tries to reach the storage.
    """

    fold_rows: int = 16_384
    max_waiting_rows: int = 131_072
    flush_rows: int = 1_000_000
    flush_s: float = 60.0
    close_s: float = 5.0


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """Rows: `observed` = `flushed` + `repeated` + `dropped` + `waiting`.

    `repeated` rows were found in storage, written by an earlier life of the same producer. `unlogged` predictions were
    counted but not kept by id, `unkept` rows counted but not stored where rows are to be. `failures` are flushes that
    did not get through; `last_error` says why.
    """

    observed: int
    flushed: int
    repeated: int
    dropped: int
    waiting: int
    unlogged: int
    failures: int
    last_error: str
    unkept: int = 0


def hour_of(clock_s: float) -> str:
    """Window id of the hour in UTC that holds `clock_s` (seconds since 1970), such as '2026-11-22T07'."""
    return _hour(int(clock_s // 3600))


@lru_cache(maxsize=4)
def _hour(hours: int) -> str:
    return datetime.fromtimestamp(3600 * hours, UTC).strftime("%Y-%m-%dT%H")


class DriftAgent:
    """Counts on `profile` and writes through `sink`, which creates a key or says that it exists.

    Thread-safe. `producer` names this process: left out, a new name is drawn, also after a fork. With a name of your
    own a batch job that is run again is not counted twice. `clock` and `window_of` decide the window of a row. With
    `keep_rows` the rows themselves (arrays of numbers) are stored too, for repair and labelling.

    >>> with DriftAgent(profile, store.create, "digits", "3") as agent:  # doctest: +SKIP
    ...     agent.observe(x, probabilities, ids)
    """

    def __init__(
        self,
        profile: DriftProfile,
        sink: Sink,
        model: str,
        version: str,
        *,
        producer: str = "",
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        window_of: Callable[[float], str] = hour_of,
        keep_rows: bool = False,
    ) -> None:
        self._profile, self._sink, self._model, self._version = profile, sink, model, version
        self._producer, self._limits, self._closed = producer, limits or Limits(), False
        self._clock, self._window_of, self._keep_rows = clock, window_of, keep_rows
        self._begin()
        _restart_after_fork(self)
        atexit.register(self.close)

    def observe(self, inputs: Inputs, outputs: NDArray[Any] | None = None, ids: Sequence[str] = ()) -> None:
        """Take note of a batch: `inputs` (n, ...) or a frame or one row by name, probabilities (n, classes), ids (n,).

        Returns at once and never raises; what cannot be used is counted as dropped.
        """
        try:
            rows = 1 if isinstance(inputs, Mapping) else len(inputs)
        except Exception as error:  # whatever was given: the serving goes on
            rows = 1
            self._note(error)
        try:
            window = check_name(self._window_of(self._clock()), "window")
            batch = copied(window, inputs, outputs, ids)
        except Exception as error:  # as above
            self._refuse(rows, error)
            return
        if batch.rows and self._accept(batch):
            self._fold(max(2 * batch.rows, self._limits.fold_rows // 4))

    def flush(self) -> bool:
        """Count and write everything now; False if it did not get through (it is kept and tried again)."""
        return self._flush(wait_s=-1)

    def close(self) -> None:
        """Stop the thread and write what is left, trying for `limits.close_s` seconds; safe to call twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._wake.notify_all()
        atexit.unregister(self.close)
        give_up_at = time.monotonic() + self._limits.close_s
        while not self._flush(wait_s=self._limits.close_s) and time.monotonic() < give_up_at:
            time.sleep(min(0.2, self._limits.close_s / 10))
        with self._folding:
            left = self._outbox.give_up()
        if left:
            _log.warning("drift agent of %s/%s: %d rows dropped at close", self._model, self._version, left)

    @property
    def status(self) -> AgentStatus:
        """Counters so far."""
        with self._folding, self._lock:
            box = self._outbox
            dropped = box.dropped + self._refused
            done = box.flushed + box.repeated + dropped
            return AgentStatus(
                self._observed, box.flushed, box.repeated, dropped, self._observed - done, box.unlogged,
                self._failures, self._last_error, box.unkept,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _after_fork(self) -> None:
        """In the child: what the parent observed is the parent's to write, and so is the parent's name."""
        if not self._closed:
            self._producer = self._producer and f"{self._producer[:80]}-{uuid.uuid4().hex[:8]}"
            self._begin()

    def _begin(self) -> None:
        """State of a new process: nothing observed, locks free, a producer's name of its own."""
        self._lock, self._folding, self._sending = threading.Lock(), threading.RLock(), threading.Lock()
        self._wake = threading.Condition(self._lock)
        producer = self._producer or f"agent-{uuid.uuid4().hex[:16]}"
        self._outbox = Outbox(self._profile, Address(self._model, self._version, producer), self._sink)
        self._waiting: deque[Batch] = deque()
        self._waiting_rows = self._observed = self._refused = self._unflushed = self._failures = 0
        self._last_error, self._flushed_at = "", time.monotonic()
        self._thread: threading.Thread | None = None

    def _accept(self, batch: Batch) -> bool:
        """Queue the batch; True where so much waits that the caller has to help."""
        with self._lock:
            closed = self._closed
            if not closed:
                self._observed += batch.rows
                self._waiting.append(batch)
                self._waiting_rows += batch.rows
                if self._thread is None:
                    self._thread = threading.Thread(target=self._work, name="drift agent", daemon=True)
                    self._thread.start()
                elif self._waiting_rows >= self._limits.fold_rows:
                    self._wake.notify()
            full = self._waiting_rows > self._limits.max_waiting_rows
        if closed:
            self._refuse(batch.rows, RuntimeError("observe() after close()"))
        return full and not closed

    def _refuse(self, rows: int, error: Exception) -> None:
        with self._lock:
            self._observed += rows
            self._refused += rows
        self._note(error)

    def _fold(self, limit_rows: int) -> None:
        """Count the batches that have waited longest, with `limit_rows` rows or a little more."""
        with self._folding:
            batches: list[Batch] = []
            with self._lock:
                until = max(0, self._waiting_rows - limit_rows)
                while self._waiting and self._waiting_rows > until:
                    batches.append(self._waiting.popleft())
                    self._waiting_rows -= batches[-1].rows
                refused, self._refused = self._refused, 0
            for group in together(batches):
                self._count(group)
            self._outbox.drop(refused)

    def _fold_all(self) -> None:
        """Count what waits now, a little at a time so that helping callers find their turn."""
        for _ in range(1 + self._waiting_rows // self._limits.fold_rows):
            self._fold(self._limits.fold_rows)

    def _count(self, group: list[Batch]) -> None:
        rows = sum(batch.rows for batch in group)
        try:
            inputs, outputs = frames(group)
            self._outbox.collect(group[0].window).counts.update(inputs, outputs)
        except Exception as error:  # what one batch of a shape has wrong, all have: only they are lost
            self._outbox.drop(rows)
            self._note(error)
            return
        self._unflushed += rows
        self._outbox.log(group[0].window, *predictions(group))
        if self._keep_rows and (kept := rows_of(group)) is not None:
            self._outbox.keep(group[0].window, kept)

    def _note(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if said != self._last_error:  # an outage is logged once, not every minute
            _log.warning("drift agent of %s/%s: %s", self._model, self._version, said)
        self._last_error = said

    def _rest(self) -> bool:
        """Sleep until there is something to do; False when closed."""
        with self._lock:
            if not self._closed and self._waiting_rows < self._limits.fold_rows:
                self._wake.wait(min(self._limits.flush_s, 1.0))
            return not self._closed

    def _flush(self, wait_s: float) -> bool:
        """Flush; False if it did not get through, or another thread is at it for more than `wait_s` (-1: any time)."""
        self._fold_all()
        if not self._sending.acquire(timeout=wait_s):
            return False
        try:
            self._outbox.send()
            with self._folding:
                self._outbox.cut()
            self._outbox.send()
        except Exception as error:  # a sink may raise anything
            self._failures += 1
            self._note(error)
            return False
        finally:
            self._flushed_at, self._unflushed = time.monotonic(), 0
            self._sending.release()
        return True

    def _work(self) -> None:
        """The thread's loop."""
        while self._rest():
            if self._waiting_rows >= self._limits.fold_rows:
                self._fold_all()
            late = time.monotonic() - self._flushed_at >= self._limits.flush_s
            if late or self._unflushed >= self._limits.flush_rows:
                self.flush()


def _restart_after_fork(agent: DriftAgent) -> None:
    """Such handlers cannot be taken back, so this one does not keep the agent alive."""
    known = weakref.ref(agent)

    def restart() -> None:
        if (alive := known()) is not None:
            alive._after_fork()

    os.register_at_fork(after_in_child=restart)
