"""Signatures: made by a process that has the key, checked by everybody, and what makes a declared edge attested."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from heritage.errors import BadInput, Misconfigured, NotFound
from heritage.flows import copies
from heritage.flows.context import Context
from heritage.lineage.findings import Finding, Kind, Severity
from heritage.lineage.statement import statement
from heritage.records import Manifest, ModelVersion, Origin, ParentEdge
from heritage.registry import Entry
from heritage.registry.locked import LockedCopies
from heritage.registry.signing import MAX_SIGNATURE_BYTES, SIGNATURE_PATH, SIGNED_PATH, Verdict, Verified, verify
from heritage.registry.signing import sign as signature_of

SIGNED_TAG = "heritage.signed"  # beginning of the key's SHA-256; anybody may edit it, the audit reads the signature
_READERS = 6


def sign(ctx: Context, address: str, key: Path | None = None) -> dict[str, Any]:
    """Sign what is said of the version with the PEM key (default: the settings'); its declared edges become attested.

    Signing again with the same key changes nothing. Raises `Misconfigured` without a key, `NotFound` without a
    manifest, and `Conflict` where the manifest was changed after it was locked.
    """
    key = key or ctx.settings.audit.signing_key
    if key is None:
        raise Misconfigured("no key to sign with; name a PEM file with --key or HERITAGE_AUDIT__SIGNING_KEY")
    version = ctx.registry.version(address)
    manifest = ctx.registry.manifest(version)
    if manifest is None:
        raise NotFound(f"{version.address} has no manifest to sign; run: heritage ingest {version.address}")
    copies.check_unchanged(ctx, version, manifest)
    attested = replace(manifest, parents=_attested(manifest.parents))
    known = check(ctx, version, attested, (key,))
    if known.verdict is not Verdict.VERIFIED or attested != manifest:
        _write(ctx, version, manifest, attested, key)
        known = check(ctx, version, attested, (key,))
    ctx.registry.set_tag(version, SIGNED_TAG, known.key)
    return {"address": version.address, "verdict": known.verdict.value, "key": known.key, "reason": known.reason}


def check(ctx: Context, version: ModelVersion, manifest: Manifest, trusted: Iterable[Path] | None = None) -> Verified:
    """The verdict on the version's signature; `trusted` keys default to the settings'."""
    keys = tuple(ctx.settings.audit.trusted_keys if trusted is None else trusted)
    return verify(statement(manifest), _signature(ctx, version), keys)


def verdict(ctx: Context, address: str, trusted: Iterable[Path] | None = None) -> dict[str, Any]:
    """The verdict on the signature at `address` as JSON values: address, verdict, key, reason."""
    version = ctx.registry.version(address)
    manifest = ctx.registry.manifest(version)
    if manifest is None:
        raise NotFound(f"{version.address} has no manifest to verify; run: heritage ingest {version.address}")
    found = check(ctx, version, manifest, trusted)
    return {"address": version.address, "verdict": found.verdict.value, "key": found.key, "reason": found.reason}


def signature_findings(ctx: Context, entries: Iterable[Entry]) -> Iterator[Finding]:
    """What the signatures tell; nothing where the settings name no trusted key and ask for no signatures."""
    own = ctx.settings.audit
    if not own.trusted_keys and not own.require_signatures:
        return
    known = [(e.version, e.manifest) for e in entries if e.manifest]
    with ThreadPoolExecutor(_READERS, "heritage-signatures") as pool:
        verdicts = pool.map(lambda pair: check(ctx, pair[0], pair[1]), known)
        for (version, manifest), found in zip(known, verdicts, strict=True):
            yield from _told(version, manifest, found, own.require_signatures)


def _told(version: ModelVersion, manifest: Manifest, found: Verified, required: bool) -> Iterator[Finding]:
    model, doubt = version.address, Severity.ERROR if required else Severity.WARNING
    attested = [e for e in manifest.parents if e.origin is Origin.ATTESTED]
    if found.verdict in (Verdict.TAMPERED, Verdict.UNREADABLE):
        detail = f"the signature does not hold: {found.reason}"
        yield Finding(Kind.SIGNATURE_INVALID, Severity.ERROR, model, detail, found.key, manifest.digest)
    elif found.verdict is Verdict.UNKNOWN_KEY:
        yield Finding(Kind.SIGNER_UNKNOWN, doubt, model, found.reason, found.key)
    elif found.verdict is Verdict.UNSIGNED and SIGNED_TAG in version.tags:
        detail = f"the tag {SIGNED_TAG} says that it was signed, and the signature is gone"
        yield Finding(Kind.MISSING_ARTIFACT, Severity.ERROR, model, detail, version.tags[SIGNED_TAG][:64])
    elif found.verdict is Verdict.UNSIGNED and required:
        yield Finding(Kind.UNSIGNED, Severity.ERROR, model, "nobody has signed this version", manifest.digest)
    elif found.verdict is Verdict.UNSIGNED and attested:
        told = "; ".join(f"{e.digest[:12]} {e.relation.value}" for e in attested)
        yield Finding(Kind.UNATTESTED, Severity.NOTE, model, "attested by its process, signed by nobody", told)


def _attested(parents: tuple[ParentEdge, ...]) -> tuple[ParentEdge, ...]:
    """Declared edges as attested ones, in the place of those; a parent that is attested already keeps its edge."""
    already = {edge.digest for edge in parents if edge.origin is Origin.ATTESTED}
    return tuple(
        replace(edge, origin=Origin.ATTESTED) if edge.origin is Origin.DECLARED else edge
        for edge in parents
        if edge.origin is not Origin.DECLARED or edge.digest not in already
    )


def _write(ctx: Context, version: ModelVersion, before: Manifest, manifest: Manifest, key: Path) -> None:
    """Locked first, so that the audit never sees a manifest that nobody answers for; the signature last."""
    data = signature_of(statement(manifest), key)
    LockedCopies(ctx.store, ctx.settings.audit).keep(version, manifest)
    if manifest != before:
        ctx.registry.amend(version, manifest)
    ctx.registry.put_artifact(version, SIGNED_PATH, statement(manifest))
    ctx.registry.put_artifact(version, SIGNATURE_PATH, data)


def _signature(ctx: Context, version: ModelVersion) -> bytes | None:
    try:
        return ctx.registry.artifact(version, SIGNATURE_PATH, MAX_SIGNATURE_BYTES)
    except NotFound:
        return None
    except BadInput:  # larger than any signature
        return b""
