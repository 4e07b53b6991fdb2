"""The version that an alias points at, kept loaded: exchanged as a whole while requests go on.

A request uses the `Served` that was current when it began. One that was replaced closes its agent, which writes the
rows that it still holds, once the last request is done with it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

from heritage.drift.agent import AgentStatus
from heritage.errors import Unavailable
from heritage.names import printable
from heritage.records import ModelVersion
from heritage.serving.served import Served

_log = logging.getLogger(__name__)

NOTHING = AgentStatus(0, 0, 0, 0, 0, 0, 0, "")
MAX_RETRY_S = 300.0


@dataclass(slots=True)
class _Held:
    """A `Served` and how many requests use it; `replaced` when no further one will."""

    served: Served
    users: int = 0
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class _Refused:
    """A version that could not be loaded `times` times, not to be tried again before `again_at` (monotonic)."""

    address: str = ""
    times: int = 0
    again_at: float = 0.0


class Champion:
    """Follows what `find` names and loads it with `make`; thread-safe.

    `problem` says why the newest version is not the one that answers; '' where it is. `swaps` and `failures` count.
    """

    def __init__(
        self, find: Callable[[], ModelVersion], make: Callable[[ModelVersion], Served], poll_s: float = 5.0
    ) -> None:
        self._find, self._make, self._poll_s = find, make, poll_s
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._held: _Held | None = None
        self._closing: dict[threading.Thread, Served] = {}
        self._closed_totals = NOTHING
        self._refused = _Refused()
        self._thread = threading.Thread(target=self._watch, name="champion", daemon=True)
        self.problem = ""
        self.swaps = self.failures = 0

    def start(self) -> None:
        """Load the version and begin to follow the alias; raises what is wrong with the first one."""
        self._swap(self._make(self._find()))
        self._thread.start()

    @contextmanager
    def using(self) -> Iterator[Served]:
        """What answers now, whole until the end of the `with` block; `Unavailable` before start and after close."""
        with self._lock:
            held = self._held
            if held is None:
                raise Unavailable("no model is loaded; the server is starting or stopping, try again")
            held.users += 1
        try:
            yield held.served
        finally:
            with self._lock:
                held.users -= 1
                over = held.replaced and not held.users
            if over:
                self._retire(held.served)

    @property
    def current(self) -> Served | None:
        """What answers now, for showing; use `using` to answer with it."""
        held = self._held
        return None if held is None else held.served

    @property
    def totals(self) -> AgentStatus:
        """Rows of all agents since the start, those of replaced versions included."""
        with self._lock:
            closing = [served for served in self._closing.values() if served.agent is not None]
            agent = None if self._held is None else self._held.served.agent
            total = self._closed_totals
        for open_agent in [served.agent for served in closing] + [agent]:
            if open_agent is not None:
                total = together(total, open_agent.status)
        return total

    def refresh(self) -> bool:
        """Look where the alias points; True where another version was put in place. Never raises: see `problem`."""
        address = ""
        try:
            version = self._find()
            address = version.address
            current = self.current
            if current is not None and current.version.address == address:
                self.problem, self._refused = "", _Refused()
                return False
            if address == self._refused.address and time.monotonic() < self._refused.again_at:
                return False
            served = self._make(version)
        except Exception as error:  # whatever is wrong with the new one, the old one goes on
            self._note(address, error)
            return False
        self.problem, self._refused = "", _Refused()
        self._swap(served)
        return True

    def close(self) -> None:
        """Stop following, and write what the agents hold; returns once that is done or given up."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            held, self._held = self._held, None
            if held is not None:
                held.replaced = True
        if held is not None and not held.users:
            self._retire(held.served)
        for thread in list(self._closing):
            thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_s):
            if self.refresh() and self._held is not None:
                _log.info("now serving %s", self._held.served.version.address)

    def _swap(self, served: Served) -> None:
        with self._lock:
            old, self._held = self._held, _Held(served)
            if old is not None:
                old.replaced = True
                self.swaps += 1
            idle = old is not None and not old.users
        if old is not None and idle:
            self._retire(old.served)

    def _retire(self, served: Served) -> None:
        """Close the agent beside the serving: with storage away that takes seconds."""
        if served.agent is None:
            return
        thread = threading.Thread(target=self._close, args=(served,), name="closing agent")
        with self._lock:
            self._closing[thread] = served
            thread.start()  # before `close` may wait for it

    def _close(self, served: Served) -> None:
        assert served.agent is not None
        served.agent.close()
        status = served.agent.status
        with self._lock:
            self._closed_totals = together(self._closed_totals, status)
            self._closing.pop(threading.current_thread(), None)

    def _note(self, address: str, error: Exception) -> None:
        self.failures += 1
        problem = f"{address or 'registry'}: {printable(str(error), 500) or type(error).__name__}"
        if problem != self.problem:  # an outage is logged once, not at every look
            _log.warning("still serving the version before: %s", problem)
        self.problem = problem
        if address:
            times = 1 + (self._refused.times if self._refused.address == address else 0)
            wait_s = min(self._poll_s * 2.0**times, MAX_RETRY_S)
            self._refused = _Refused(address, times, time.monotonic() + wait_s)


def together(a: AgentStatus, b: AgentStatus) -> AgentStatus:
    """Counters of both; the later error is `b`'s."""
    sums = {f.name: getattr(a, f.name) + getattr(b, f.name) for f in fields(AgentStatus) if f.name != "last_error"}
    return AgentStatus(**sums, last_error=b.last_error or a.last_error)
