"""Carrying out one entry of the journal: alias writes, each right after a compare-and-swap of the entry.

MLflow's alias writes are last-writer-wins. A process that was overtaken between its check and its write finds out at
its next write to the journal, and puts the aliases back to what the journal says, until the journal says the same after
its write as before; the process that overtook it looks at the alias once more after it wrote `moved`. So whichever of
the two writes last, the journal's champion stays.
"""

from collections.abc import Callable

from heritage.errors import Conflict, HeritageError, NotFound
from heritage.names import check_name
from heritage.registry.connect import Connection
from heritage.registry.journal import (
    DONE,
    INTENT,
    MOVED,
    PROMOTE,
    UNDONE,
    Move,
    history,
    move_key,
    wait_for_last,
)
from heritage.registry.lease import Lease, LeaseLost
from heritage.registry.read import Reader

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
GATE = "heritage.gate"

STEPS = ("intent", "previous_set", "champion_set", "moved", "challenger_cleared", "done")


def gate_tag(plan_hash: str) -> str:
    """Value of the tag `heritage.gate` of a version that the gate accepted under the plan `plan_hash`."""
    return f"accept:{plan_hash}"


def quicker(name: str) -> Conflict:
    """The error for a promoter that lost a race."""
    return Conflict(f"model '{name}': another promoter was quicker; read the new champion and decide again")


class Mover:
    """Begins, finishes and undoes moves; `on_step` is told each of `STEPS` once it is done."""

    def __init__(self, connection: Connection, reader: Reader, on_step: Callable[[str], None] | None = None) -> None:
        self._connection = connection
        self._mlflow = connection.mlflow
        self._reader = reader
        self._step = on_step or _nothing

    def carry_out(self, move: Move) -> Move:
        """Write `move` to the journal as the next entry and move the aliases; `Conflict` if another was quicker."""
        connection, key = self._connection, move_key(move.name, move.sequence)
        lease = Lease.begin(connection.store, key, move, connection.timing.lease_s, connection.now)
        if lease is None:
            raise quicker(move.name)
        self._step("intent")
        return self._finish(lease)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point `alias` at `version`; '' takes the alias away."""
        if version:
            self._mlflow.set_registered_model_alias(name, alias, version)
        else:
            self._mlflow.delete_registered_model_alias(name, alias)

    def recover(self, name: str) -> Move | None:
        """Finish or undo what a dead promoter left; its entry, or None where nothing was left.

        Completed if the version still is there and accepted and nobody moved the champion meanwhile; else undone.
        """
        found = wait_for_last(self._connection, check_name(name))
        if found is None:
            return None
        connection, key = self._connection, move_key(name, found.record.sequence)
        lease_s, now = connection.timing.lease_s, connection.now
        lease = Lease.take_over(connection.store, key, found, lease_s, now, found.record.state)
        if lease is None:
            raise Conflict(f"model '{name}': another process is recovering move {found.record.sequence}; try again")
        move = lease.record
        if not self._may_complete(move):
            return self._undo(lease)
        return self._finish(lease)

    def _finish(self, lease: Lease[Move]) -> Move:
        move = lease.record
        try:
            if move.state == INTENT:
                lease.update()
                self.set_alias(move.name, PREVIOUS, move.previous)
                self._step("previous_set")
                lease.update()
                self.set_alias(move.name, CHAMPION, move.version)
                self._step("champion_set")
                lease.update(state=MOVED)
            self._step("moved")
            self._settle(move)
            self._step("challenger_cleared")
            lease.update(state=DONE)
        except LeaseLost:
            self._reassert(move.name)
            raise
        except HeritageError:
            lease.release()
            raise
        self._step("done")
        return lease.record

    def _settle(self, move: Move) -> None:
        """Set the champion again if a process that was overtaken wrote over it, and clear the challenger."""
        aliases = self._reader.aliases(move.name)
        if aliases.get(CHAMPION) != move.version:
            self.set_alias(move.name, CHAMPION, move.version)
        if aliases.get(CHALLENGER) == move.version:
            self.set_alias(move.name, CHALLENGER, "")

    def _reassert(self, name: str) -> None:
        """Put the aliases back to what the journal says, after a write that came too late.

        This write may come too late as well, so the journal is read again after it, until it says the same.
        """
        told, written = self._told(name), None
        while told and told != written:
            self._restore(name, CHAMPION, told[0])
            self._restore(name, PREVIOUS, told[1])
            told, written = self._told(name), told

    def _told(self, name: str) -> tuple[str, str] | None:
        """Champion and previous by the journal; None before the first move."""
        entries = [e for e in history(self._connection, name) if e.state in (MOVED, DONE)]
        return (entries[-1].version, entries[-1].previous) if entries else None

    def _may_complete(self, move: Move) -> bool:
        try:
            target = self._reader.numbered(move.name, move.version)
        except NotFound:
            return False
        accepted = move.kind != PROMOTE or target.tags.get(GATE) == gate_tag(move.plan_hash)
        champion = self._reader.aliases(move.name).get(CHAMPION, "")
        return accepted and target.digest == move.digest and champion in (move.version, move.replaced)

    def _undo(self, lease: Lease[Move]) -> Move:
        move = lease.record
        if self._reader.aliases(move.name).get(CHAMPION) == move.version:
            self._restore(move.name, CHAMPION, move.replaced)
        self._restore(move.name, PREVIOUS, move.previous_before)
        lease.update(state=UNDONE)
        return lease.record

    def _restore(self, name: str, alias: str, version: str) -> None:
        """As `set_alias`, but take the alias away where the version was deleted."""
        try:
            self.set_alias(name, alias, version)
        except NotFound:
            self.set_alias(name, alias, "")


def _nothing(step: str) -> None:
    """What is told of the steps where nobody asked."""
