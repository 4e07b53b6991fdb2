"""Who may become champion: the gate, the champion that was expected, and a complete history."""

from collections.abc import Callable
from dataclasses import dataclass

from heritage.errors import BadInput, Conflict, NotFound, Refused
from heritage.names import check_name, check_version, printable
from heritage.records import ModelVersion
from heritage.registry.connect import Connection
from heritage.registry.journal import (
    DONE,
    INITIAL,
    INTENT,
    MANUAL,
    PROMOTE,
    ROLLBACK,
    Move,
    champion_of,
    history,
    move_key,
    was_proven,
)
from heritage.registry.lease import MAX_TEXT, Lease
from heritage.registry.moves import CHALLENGER, CHAMPION, GATE, PREVIOUS, Mover, gate_tag, quicker
from heritage.registry.read import DUPLICATE_OF, Reader


@dataclass(frozen=True, slots=True)
class Request:
    """Make `version` of `name` champion in place of `expected` (None: there is no champion yet).

    `plan_hash` is that of the plan that the gate, and the person who approved, saw. `reason` is for people; 'initial'
    sets the first champion of a model without a gate.
    """

    name: str
    version: str
    expected: str | None
    reason: str
    plan_hash: str = ""


class Promoter:
    """Promotion and rollback of one registry; `on_step` is told each of `moves.STEPS` once it is done."""

    def __init__(self, connection: Connection, reader: Reader, on_step: Callable[[str], None] | None = None) -> None:
        self._connection = connection
        self._reader = reader
        self._mover = Mover(connection, reader, on_step)

    def promote(self, request: Request) -> Move:
        """Carry out `request`, or find it done; the journal's entry.

        Raises `Refused` where the gate did not accept this plan, and `Conflict` where the champion is another one
        than expected or another promoter was quicker. Nothing moves then.
        """
        self._mover.recover(request.name)
        entries = history(self._connection, request.name)
        aliases = self._reader.aliases(request.name)
        last = entries[-1] if entries else None
        if last and _is_same(last, request) and aliases.get(CHAMPION) == last.version:
            return last
        target = self._reader.numbered(request.name, check_version(request.version))
        self._check_expected(request, aliases.get(CHAMPION, ""))
        kind = self._check_gate(request, target, entries)
        known = self._note_manual(request.name, _Known(entries, aliases))
        return self._move(target, kind, request.reason, request.plan_hash, known)

    def nominate(self, version: ModelVersion) -> None:
        """Point the alias 'challenger' at the version, which waits for approval."""
        self._mover.set_alias(check_name(version.name), CHALLENGER, version.version)

    def rollback(self, name: str, reason: str, expected: str | None = None) -> Move:
        """Make `previous` champion again, and the champion `previous`.

        With `expected`, the version to roll back from, a second call finds the first one done. Raises `NotFound`
        where an alias is missing, `Conflict` where the champion is not `expected`, and `Refused` where `previous`
        points at a version that was never champion through this journal.
        """
        recovered = self._mover.recover(name)
        if recovered and recovered.kind == ROLLBACK and recovered.state == DONE:
            return recovered
        aliases = self._reader.aliases(name)
        if expected is not None and aliases.get(CHAMPION, "") != expected:
            last = champion_of(history(self._connection, name))
            if last and (last.kind, last.replaced, last.version) == (ROLLBACK, expected, aliases.get(CHAMPION)):
                return last
            raise Conflict(f"model '{name}': the champion is version {aliases.get(CHAMPION, 'none')}, not {expected}")
        if missing := [alias for alias in (CHAMPION, PREVIOUS) if alias not in aliases]:
            raise NotFound(f"model '{name}' has no {' and no '.join(missing)}; there is nothing to roll back to")
        known = self._note_manual(name, _Known(history(self._connection, name), aliases))
        target = self._reader.numbered(name, aliases[PREVIOUS])
        if not was_proven(known.entries, target.version, target.digest):
            raise Refused(
                f"{target.address} was never champion through heritage, somebody moved the alias '{PREVIOUS}' by hand; "
                "promote the version you want"
            )
        return self._move(target, ROLLBACK, reason, "", known)

    def recover(self, name: str) -> Move | None:
        """Finish or undo what a dead promoter left; its entry, or None where nothing was left."""
        return self._mover.recover(name)

    def note_manual(self, name: str) -> Move | None:
        """Enter into the journal that somebody moved the champion by hand; None where the aliases fit the journal.

        While a move is under way nothing is entered: the alias may be where that move put it.
        """
        entries = history(self._connection, check_name(name))
        if entries and not entries[-1].is_finished:
            return None
        known = self._note_manual(name, _Known(entries, self._reader.aliases(name)))
        return known.entries[-1] if len(known.entries) > len(entries) else None

    def findings(self, name: str) -> tuple[str, ...]:
        """What does not fit together in the aliases and the journal of `name`; empty where all is well.

        Nothing while a move is under way, which puts the aliases where they belong.
        """
        entries = history(self._connection, name)
        if any(not e.is_finished and e.expires_at_s >= self._connection.now().timestamp() for e in entries):
            return ()
        aliases = self._reader.aliases(name)
        found = [f"move {e.sequence} to version {e.version} is not finished" for e in entries if not e.is_finished]
        should, is_now = _Known(entries, aliases).champion or "none", aliases.get(CHAMPION, "none")
        if should != is_now:
            found.append(f"alias '{CHAMPION}' was moved by hand: the journal says {should}, it points at {is_now}")
        if PREVIOUS in aliases and not self._proven(entries, name, aliases[PREVIOUS]):
            found.append(f"alias '{PREVIOUS}' points at version {aliases[PREVIOUS]}, which was never champion")
        return tuple(f"model '{printable(name)}': {problem}" for problem in found)

    def _move(self, target: ModelVersion, kind: str, reason: str, plan_hash: str, known: "_Known") -> Move:
        replaced = known.aliases.get(CHAMPION, "")
        move = Move(
            state=INTENT,
            name=target.name,
            sequence=known.next_sequence,
            kind=kind,
            version=target.version,
            digest=target.digest,
            replaced=replaced,
            previous=self._next_previous(target, replaced, known.entries),
            previous_before=known.aliases.get(PREVIOUS, ""),
            reason=_checked_reason(reason),
            plan_hash=plan_hash,
            at=self._connection.now().isoformat(),
        )
        return self._mover.carry_out(move)

    def _next_previous(self, target: ModelVersion, replaced: str, entries: tuple[Move, ...]) -> str:
        """The version to roll back to: the one replaced, if it was proven, else the last that was; '' for none."""
        candidates = [replaced, *(e.version for e in reversed(entries) if e.state == DONE and e.kind != MANUAL)]
        for version in candidates:
            if version and version != target.version and self._proven(entries, target.name, version):
                return version
        return ""

    def _proven(self, entries: tuple[Move, ...], name: str, version: str) -> bool:
        try:
            return was_proven(entries, version, self._reader.numbered(name, version).digest)
        except NotFound:
            return False

    def _check_expected(self, request: Request, champion: str) -> None:
        if (request.expected or "") != champion:
            raise Conflict(
                f"model '{request.name}': the champion is version {champion or 'none'}, not "
                f"{request.expected or 'none'} as the plan expects; compare with the new champion and approve again"
            )
        if champion == request.version:
            raise Conflict(f"{request.name}/{champion} is champion already; there is nothing to promote")

    def _check_gate(self, request: Request, target: ModelVersion, entries: tuple[Move, ...]) -> str:
        """The kind of move that is allowed, else `Refused`."""
        if target.tags.get(DUPLICATE_OF, "").startswith(f"{target.name}/"):
            raise Refused(
                f"{target.address} is a duplicate of {printable(target.tags[DUPLICATE_OF])}; promote that one"
            )
        if self._reader.manifest(target) is None:
            raise Refused(f"{target.address} was registered without heritage; run `heritage ingest` first")
        if request.reason == INITIAL and request.expected is None and champion_of(entries) is None:
            return INITIAL
        gate = target.tags.get(GATE, "")
        if not request.plan_hash or gate != gate_tag(request.plan_hash):
            raise Refused(
                f"{target.address}: the gate has not accepted it under the plan '{printable(request.plan_hash)}' "
                f"(tag {GATE} is '{printable(gate)}'); run `heritage validate` first"
            )
        return PROMOTE

    def _note_manual(self, name: str, known: "_Known") -> "_Known":
        """`known` with one more entry where somebody moved the champion by hand: the history stays complete."""
        champion, should = known.aliases.get(CHAMPION, ""), known.champion
        if should == champion:
            return known
        previous = known.aliases.get(PREVIOUS, "")
        move = Move(
            state=DONE,
            name=name,
            sequence=known.next_sequence,
            kind=MANUAL,
            version=champion,
            digest=self._reader.numbered(name, champion).digest if champion else "",
            replaced=should,
            previous=previous,
            previous_before=previous,
            reason="found: the alias was moved outside heritage",
            plan_hash="",
            at=self._connection.now().isoformat(),
        )
        key, connection = move_key(name, move.sequence), self._connection
        if Lease.begin(connection.store, key, move, 0.0, connection.now) is None:
            raise quicker(name)
        return _Known((*known.entries, move), known.aliases)


@dataclass(frozen=True, slots=True)
class _Known:
    """Journal and aliases of a model as they were read."""

    entries: tuple[Move, ...]
    aliases: dict[str, str]

    @property
    def champion(self) -> str:
        """Who should be champion by the journal; '' for none."""
        last = champion_of(self.entries)
        return last.version if last else ""

    @property
    def next_sequence(self) -> int:
        return self.entries[-1].sequence + 1 if self.entries else 1


def _is_same(move: Move, request: Request) -> bool:
    asked = (request.version, request.plan_hash, request.expected or "")
    return (
        move.state == DONE
        and move.kind in (PROMOTE, INITIAL)
        and asked
        == (
            move.version,
            move.plan_hash,
            move.replaced,
        )
    )


def _checked_reason(reason: str) -> str:
    if not reason.strip() or len(reason) > MAX_TEXT or not reason.isprintable():
        raise BadInput(f"reason '{printable(reason)}': give 1 to {MAX_TEXT} printable characters in one line")
    return reason
