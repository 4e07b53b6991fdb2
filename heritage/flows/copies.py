"""Locked copies of manifests: made when a version is registered and at every audit, compared by the audit."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from heritage.errors import BadInput, Conflict, Misconfigured, NotFound
from heritage.flows.context import Context
from heritage.lineage.audit_copies import Changed, changed, deleted, lost_parents, touched, unlocked
from heritage.lineage.findings import Finding
from heritage.lineage.statement import statement_sha256
from heritage.names import printable
from heritage.records import Manifest, ModelVersion
from heritage.registry import Entry
from heritage.registry.locked import Copy, LockedCopies, manifest_sha256

_WRITERS = 6
_log = structlog.get_logger()


def keep(ctx: Context, version: ModelVersion) -> bool:
    """Copy the version's manifest as `keep_new` does; True where this call made the copy.

    Where no lock is required, a storage that does not let us is no reason to fail: the audit tells it.
    """
    manifest = ctx.registry.manifest(version)
    try:
        copies = LockedCopies(ctx.store, ctx.settings.audit)
        own = copies.of(version)
        wanted = manifest is not None and _fits(manifest, own) and _is_new(manifest, own)
        return wanted and manifest is not None and copies.keep(version, manifest)
    except Misconfigured as error:
        if ctx.settings.audit.lock == "required":
            raise
        _log.warning("manifest not locked", version=printable(version.address), reason=printable(str(error), 500))
        return False


def keep_new(ctx: Context, entries: Iterable[Entry]) -> int:
    """Copy the manifests of all versions that have no copy, or that only got recovered edges since; how many.

    What was said otherwise since it was locked is left alone: `accept` copies that, once a person has looked.
    """
    copies = LockedCopies(ctx.store, ctx.settings.audit)
    known = copies.all()
    new = [
        (e.version, e.manifest)
        for e in entries
        if e.manifest and _fits(e.manifest, own := known.get(e.version.address, ())) and _is_new(e.manifest, own)
    ]
    with ThreadPoolExecutor(_WRITERS, "heritage-copies") as pool:
        return sum(pool.map(lambda pair: _keep(copies, *pair), new))


def _keep(copies: LockedCopies, version: ModelVersion, manifest: Manifest) -> bool:
    try:
        return copies.keep(version, manifest)
    except BadInput:  # a name that breaks the policy has no place in storage
        return False


def accept(ctx: Context, address: str) -> dict[str, Any]:
    """Lock what the manifest at `address` says now as well; for a change that a person has looked at and meant."""
    version = ctx.registry.version(address)
    manifest = ctx.registry.manifest(version)
    if manifest is None:
        raise NotFound(f"{version.address} has no manifest to lock; run: heritage ingest {version.address}")
    made = LockedCopies(ctx.store, ctx.settings.audit).keep(version, manifest)
    return {"address": version.address, "locked": made, "sha256": manifest_sha256(manifest)}


def check_unchanged(ctx: Context, version: ModelVersion, manifest: Manifest) -> None:
    """Raise `Conflict` where the manifest says something else than its locked copies."""
    if ctx.settings.audit.lock != "off" and not _fits(
        manifest, LockedCopies(ctx.store, ctx.settings.audit).of(version)
    ):
        raise Conflict(
            f"{printable(version.address)}: its manifest was changed after it was locked; look at heritage audit, then "
            f"heritage audit --accept {printable(version.address)} if the change was meant"
        )


def copy_findings(ctx: Context, entries: Iterable[Entry]) -> Iterator[Finding]:
    """What the copies tell against the registry."""
    if ctx.settings.audit.lock == "off":
        return
    copies = LockedCopies(ctx.store, ctx.settings.audit)
    known = copies.all()
    given = list(entries)
    manifests = {e.version.address: e.manifest for e in given if e.manifest}
    for address, own in known.items():
        yield from (touched(address, _where(copies, copy)) for copy in own if copy.touched)
    for address, manifest in manifests.items():
        yield from _of_one(copies, address, manifest, known.get(address, ()))
    there = {e.version.address for e in given}
    gone = {address: own for address, own in known.items() if address not in there}
    yield from (deleted(address, _where(copies, own[-1])) for address, own in gone.items())
    yield from lost_parents(manifests, _digests(copies, gone))


def _of_one(copies: LockedCopies, address: str, manifest: Manifest, own: tuple[Copy, ...]) -> Iterator[Finding]:
    if not own:
        yield unlocked(address, "there is no locked copy of the manifest yet")
    elif not _fits(manifest, own):
        try:
            locked = copies.read(own[-1])
        except (BadInput, NotFound) as error:
            yield touched(address, printable(str(error), 500))
        else:
            yield from changed([Changed(address, locked, manifest, _where(copies, own[-1]))])


def _fits(manifest: Manifest, own: tuple[Copy, ...]) -> bool:
    return not own or statement_sha256(manifest) in {copy.said_sha256 for copy in own}


def _is_new(manifest: Manifest, own: tuple[Copy, ...]) -> bool:
    return manifest_sha256(manifest) not in {copy.sha256 for copy in own}


def _digests(copies: LockedCopies, gone: dict[str, tuple[Copy, ...]]) -> dict[str, str]:
    """Content of each version that is gone -> where its copy is."""
    found: dict[str, str] = {}
    for own in gone.values():
        try:
            found[copies.read(own[-1]).digest] = _where(copies, own[-1])
        except (BadInput, NotFound):  # told as a touched copy
            continue
    return found


def _where(copies: LockedCopies, copy: Copy) -> str:
    """Address of the copy with its hashes cut: enough to find it by listing."""
    return printable(f"s3://{copies.bucket}/audit/{copy.address}/{copy.said_sha256[:12]}.../{copy.sha256[:12]}...", 300)
