"""Short histories of promoters that overlap, stop half-way, sleep past their lease and see the clock jump.

Each actor runs in a thread of its own, and only one of them at a time: it waits for its turn before each step of a
move and before each write of an alias. Who is next, who dies and how far the clock jumps is drawn from a seed, so a
history can be told again.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from heritage.errors import HeritageError
from heritage.registry import Registry, Timing
from heritage.registry.journal import Move
from heritage.registry.promote import Promoter, Request
from heritage.storage import ObjectStore

LEASE_S = 30.0


class Killed(BaseException):
    """Ends an actor as SIGKILL would: no handler of the product catches it."""


@dataclass
class Actor:
    """One promoter or rollback: what it was told to do, and what it says it did."""

    act: Callable[["Actor"], Move]
    said: Move | None = None
    error: HeritageError | None = None
    expected: str | None = None
    dead: bool = False
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    back: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ended: bool = False

    def run(self) -> None:
        """The body of its thread."""
        self.turn.acquire()
        try:
            if not self.dead:
                self.said = self.act(self)
        except Killed:
            self.dead = True
        except HeritageError as error:
            self.error = error
        finally:
            self.ended = True
            self.back.release()

    def pause(self, _step: str) -> None:
        """Give the turn back and wait for the next one."""
        self.back.release()
        self.turn.acquire()
        if self.dead:
            raise Killed


@dataclass
class History:
    """Plays one history over a registry; `told` is what happened, for the message of a failure."""

    seed: int
    uri: str
    store: ObjectStore
    name: str
    told: list[str] = field(default_factory=list)
    clock: datetime = field(default_factory=lambda: datetime.now(UTC))

    def play(self, actors: int = 3) -> list[Actor]:
        """Three promoters, or rollbacks, at once."""
        rng = random.Random(self.seed)
        crew = [Actor(self._job(rng, i)) for i in range(actors)]
        threads = [threading.Thread(target=actor.run, daemon=True) for actor in crew]
        for thread in threads:
            thread.start()
        sleeper, awake = rng.randrange(actors), rng.randint(2, 9)
        while running := [i for i, actor in enumerate(crew) if not actor.ended]:
            self._jump(rng)
            i = rng.choice([i for i in running if i != sleeper or awake > 0] or running)
            if rng.random() < 0.04:
                crew[i].dead = True
                self.told.append(f"{i} is killed")
            # a short stretch of steps, so that histories differ in more than their first steps
            for _ in range(rng.randint(1, 4)):
                self._step(crew[i])
                awake -= i == sleeper
                if i == sleeper and awake == 0:
                    # it goes on, past its lease, when all others are done
                    self.told.append(f"{i} sleeps")
                    self.clock += timedelta(seconds=2 * LEASE_S)
                    break
        for thread in threads:
            thread.join()
        return crew

    def settle(self) -> Registry:
        """The registry an hour later, when whoever comes next has finished what was left."""
        self.clock += timedelta(hours=1)
        registry = Registry(self.uri, self.store, now=self._now, timing=Timing(LEASE_S, 0.0))
        registry.recover_promotion(self.name)
        return registry

    def _step(self, actor: Actor) -> None:
        if not actor.ended:
            actor.turn.release()
            actor.back.acquire()

    def _now(self) -> datetime:
        return self.clock

    def _jump(self, rng: random.Random) -> None:
        """Mostly nothing; sometimes past every lease, sometimes back."""
        if (seconds := rng.choice([0, 0, 0, 0, 0, 1, 5, 2 * LEASE_S, -20])) != 0:
            self.told.append(f"clock {seconds:+g} s")
            self.clock += timedelta(seconds=seconds)

    def _job(self, rng: random.Random, i: int) -> Callable[[Actor], Move]:
        version, kind = rng.choice(["2", "3"]), rng.choice(["promote", "promote", "promote", "rollback"])
        expected = rng.choice(["1", "1", "1", "2", "3"])
        self.told.append(f"{i}: {kind} {version} in place of {expected}")

        def act(actor: Actor) -> Move:
            registry = Registry(self.uri, self.store, now=self._now, timing=Timing(LEASE_S, 0.0))
            promoter = Promoter(registry._connection, registry._reader, actor.pause)
            write = promoter._mover.set_alias

            def late(*words: str) -> None:
                # MLflow knows no compare-and-set, so the worst moment is between the check and the write
                actor.pause("alias")
                write(*words)

            promoter._mover.set_alias = late  # type: ignore[method-assign]
            if kind == "rollback":
                return promoter.rollback(self.name, f"worse, says {i}")
            actor.expected = expected
            return promoter.promote(Request(self.name, version, expected, f"better, says {i}", f"p{version}"))

        return act
