"""Findings about locked copies: what was said of a version then against what is said of it now."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from heritage.lineage.findings import Finding, Kind, Severity
from heritage.lineage.statement import changes
from heritage.names import printable
from heritage.records import Manifest

_SHOWN = 4  # fields of a changed manifest that are told


@dataclass(frozen=True, slots=True)
class Changed:
    """A manifest that says something else than every copy; `locked` is the newest copy."""

    model: str
    locked: Manifest
    manifest: Manifest
    where: str


def changed(cases: Iterable[Changed]) -> Iterator[Finding]:
    """One finding a field that was changed after it was locked."""
    for case in cases:
        found = changes(case.locked, case.manifest)
        for name, before, after in found[:_SHOWN]:
            more = f", and {len(found) - 1} other fields" if len(found) > 1 else ""
            detail = f"the manifest's {name} changed after it was locked{more}; the copy is {case.where}"
            sides = printable(before, 1000) or "nothing", printable(after, 1000) or "nothing"
            yield Finding(Kind.MANIFEST_CHANGED, Severity.ERROR, case.model, detail, *sides)


def touched(model: str, where: str) -> Finding:
    """A copy that somebody wrote over or marked as deleted; what was locked still stands below."""
    detail = "somebody wrote over a locked copy, or marked it as deleted"
    return Finding(Kind.COPY_TOUCHED, Severity.WARNING, model, detail, where)


def unlocked(model: str, why: str) -> Finding:
    """A sound manifest without a copy."""
    return Finding(Kind.NOT_LOCKED, Severity.NOTE, model, why)


def deleted(address: str, where: str) -> Finding:
    """A version that is gone, as its copy tells."""
    detail = "this version was registered and is no longer in the registry"
    return Finding(Kind.VERSION_DELETED, Severity.WARNING, printable(address), detail, where, "no such version")


def lost_parents(manifests: Mapping[str, Manifest], gone: Mapping[str, str]) -> Iterator[Finding]:
    """Versions whose parent was registered and is gone; `manifests` by address, `gone`: digest -> where its copy is.

    A parent that is registered under another address is not lost.
    """
    registered = {manifest.digest for manifest in manifests.values()}
    for address, manifest in manifests.items():
        for digest in sorted({edge.digest for edge in manifest.parents} & gone.keys() - registered):
            detail = f"its parent {digest[:12]} was registered once and is gone"
            yield Finding(Kind.PARENT_DELETED, Severity.ERROR, address, detail, digest, gone[digest])


def without_lost(found: Iterable[Finding], lost: Iterable[Finding]) -> set[Finding]:
    """`found` without the orphans that `lost` explains better."""
    told = {(f.model, f.recorded[:12]) for f in lost}
    return {f for f in found if f.kind is not Kind.ORPHAN or (f.model, f.recorded[:12]) not in told}
