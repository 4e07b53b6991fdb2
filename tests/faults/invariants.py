"""What holds after any fault: I1 to I8, asserted by every test of this folder.

I1 a version that can be seen is complete: manifest and weights, verified
I2 lineage has no circle; an edge's ends exist, or the audit tells that they do not
I3 one content has one canonical version, however often and by whom it was registered
I4 `champion` points where the journal says, at what the gate accepted, and the journal has no gaps
I5 a repair is its plan, bit for bit; the parent is untouched
I6 no secret and no unprintable text in what people read
I7 memory stays under a stated bound
I8 the index is a function of the manifests
"""

import hashlib
import resource
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from heritage.lineage.audit import audit
from heritage.lineage.findings import Finding, Kind
from heritage.lineage.index import LineageIndex
from heritage.records import ModelVersion
from heritage.registry import CHAMPION, DUPLICATE_OF, GATE, Entry, Move, Registry
from heritage.registry.journal import DONE, MANUAL, PROMOTE


def check_registry(registry: Registry, folder: Path, names: Iterable[str]) -> None:
    """I1 to I4 and I8 for the models `names`; `folder` takes downloads and may be thrown away."""
    entries = [e for name in names for e in registry.entries(list(registry.versions(name=name)))]
    check_complete(registry, folder / "weights", entries)
    check_acyclic(entries)
    check_canonical(entries)
    for name in {e.version.name for e in entries}:
        check_champion(registry, name)
    check_index(folder, entries)


def check_complete(registry: Registry, folder: Path, entries: Iterable[Entry]) -> None:
    """I1."""
    for entry in entries:
        assert entry.manifest is not None, f"I1: {entry.version.address} is visible without manifest: {entry.problem}"
        fetched = registry.fetch_weights(entry.version, folder)  # raises where a file is not what the manifest tells
        for record in entry.manifest.files:
            assert (fetched / record.name).stat().st_size == record.size_bytes, f"I1: {entry.version.address}"


def check_acyclic(entries: Iterable[Entry]) -> None:
    """I2."""
    known = list(entries)
    parents = {e.manifest.digest: {p.digest for p in e.manifest.parents} for e in known if e.manifest}
    told = _told(known, Kind.ORPHAN)
    for entry in known:
        missing = {p.digest for p in entry.manifest.parents if p.digest not in parents} if entry.manifest else set()
        assert not missing or entry.version.address in told, f"I2: {entry.version.address} hangs from {missing}"
    waiting = {child: own & parents.keys() for child, own in parents.items()}
    while free := [child for child, own in waiting.items() if not own]:
        for child in free:
            del waiting[child]
        for own in waiting.values():
            own.difference_update(free)
    assert not waiting, f"I2: a circle among {sorted(waiting)}"


def check_canonical(entries: Iterable[Entry]) -> None:
    """I3."""
    canonical: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        canonical[entry.version.digest] += [] if DUPLICATE_OF in entry.version.tags else [entry.version.address]
    several = {digest[:12]: found for digest, found in canonical.items() if len(found) != 1}
    assert not several, f"I3: contents with more or less than one canonical version: {several}"


def check_champion(registry: Registry, name: str) -> None:
    """I4."""
    moves, aliases = registry.history(name), registry.aliases(name)
    assert [m.sequence for m in moves] == list(range(1, len(moves) + 1)), f"I4: gaps in the journal of {name}: {moves}"
    done = [m for m in moves if m.state == DONE]
    assert [m for m in moves if not m.is_finished] == [], f"I4: unfinished moves of {name}"
    check_chain(done)
    assert (done[-1].version if done else None) == aliases.get(CHAMPION), f"I4: {name}: {aliases} after {done[-1:]}"
    assert registry.promotion_findings(name) == (), "I4"
    for move in done:
        if move.kind == PROMOTE:
            gate = registry.version(f"{name}/{move.version}").tags.get(GATE, "")
            assert gate == f"accept:{move.plan_hash}", f"I4: {name}/{move.version} was promoted with gate '{gate}'"


def check_chain(done: list[Move]) -> None:
    """No move was lost: each replaces the one before it, or a move by hand that the journal knows."""
    champion = ""
    for move in done:
        assert move.kind == MANUAL or move.replaced == champion, f"I4: {move} replaces {move.replaced}, not {champion}"
        champion = move.version


def check_index(folder: Path, entries: Iterable[Entry]) -> None:
    """I8: filled one by one in another order, or rebuilt at once, it is the same."""
    known = list(entries)
    folder.mkdir(parents=True, exist_ok=True)
    digests = []
    for name, batches in (("once", [known]), ("bits", [[e] for e in reversed(known)])):
        file = folder / f"index-{name}.sqlite"
        file.unlink(missing_ok=True)
        with LineageIndex(file) as index:
            for batch in batches:
                index.update(batch)
            digests.append(index.digest())
    assert digests[0] == digests[1], "I8"


def fingerprints(registry: Registry, folder: Path, versions: Iterable[ModelVersion]) -> dict[str, str]:
    """SHA-256 of the files of each version, to be compared before and after; for I5."""
    found = {}
    for version in versions:
        files = sorted(registry.fetch_weights(version, folder).iterdir())
        found[version.address] = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return found


def check_untouched(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """I5: what was there is as it was."""
    assert {address: after.get(address) for address in before} == dict(before), "I5"


def check_readable(texts: Iterable[str], secrets: Iterable[str]) -> None:
    """I6: lines for people and logs."""
    hidden = list(secrets)
    for text in texts:
        assert not [s for s in hidden if s and s in text], "I6: a secret is told"
        odd = [c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c not in "\n\t"]
        assert not odd, f"I6: {odd} in {text!r}"


@contextmanager
def memory_within(mib: float) -> Iterator[None]:
    """I7: the peak of this process grows by no more in the block."""
    before = _peak_mib()
    yield
    grown = _peak_mib() - before
    assert grown <= mib, f"I7: {grown:.0f} MiB, {mib:g} are allowed"


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _told(entries: Iterable[Entry], kind: Kind) -> set[str]:
    found: list[Finding] = audit(entries, datetime.now(UTC) + timedelta(hours=2))
    return {f.model for f in found if f.kind == kind}
