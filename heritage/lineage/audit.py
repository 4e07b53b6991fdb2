"""The audit of lineage records: everything that manifests, tags and the registry's entries say against one another.

Nothing is repaired here. Manifests are the truth; anybody may edit tags, so a difference is told with both sides.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from heritage.lineage.contradictions import contradictions
from heritage.lineage.findings import Finding, Kind, Severity, sort_findings
from heritage.lineage.tags import DATA, DIGEST, PARENT, IndexTags, TagEdge, edge_tags, read_tags
from heritage.names import printable
from heritage.records import Manifest, ModelVersion

DUPLICATE_OF = "heritage.duplicate_of"
# clocks of machines that register are not exactly ours
CLOCK_SKEW = timedelta(minutes=5)


class Entry(Protocol):
    """A version with its manifest, or with the `problem` that kept it from being read ('' for none)."""

    @property
    def version(self) -> ModelVersion:
        """The registry's entry with its tags."""

    @property
    def manifest(self) -> Manifest | None:
        """The manifest, None where there is none."""

    @property
    def problem(self) -> str:
        """Why there is no manifest."""


def audit(entries: Iterable[Entry], now: datetime, min_confidence: float = 0.9) -> list[Finding]:
    """All findings about `entries`, errors first, then by kind and model; the same for any order of entries.

    `now` is timezone-aware. Recovered edges of less than `min_confidence` contradict nothing. Cost O(n log n) in
    versions and edges.
    """
    known = list(entries)
    tags = [read_tags(entry.version.tags) for entry in known]
    found: set[Finding] = set()
    for entry, told in zip(known, tags, strict=True):
        found.update(_of_one(entry, told, now))
    found.update(_duplicates(known))
    found.update(_ambiguous(known, tags))
    found.update(contradictions([(e.version, e.manifest) for e in known if e.manifest], min_confidence))
    return sort_findings(found)


def _of_one(entry: Entry, tags: IndexTags, now: datetime) -> Iterator[Finding]:
    """Findings that one version shows alone."""
    version, manifest, model = entry.version, entry.manifest, entry.version.address
    for bad in tags.malformed:
        shown = f"{printable(bad.key, 60)} = {printable(bad.value, 60)}"
        detail = f"tag cannot be read: {bad.reason}"
        yield Finding(Kind.MALFORMED_TAG, Severity.ERROR, model, detail, claimed=shown)
    if manifest:
        yield from _against_manifest(model, tags, manifest)
        if datetime.fromisoformat(manifest.created_at) > now + CLOCK_SKEW:
            yield _future(model, "manifest", manifest.created_at, now)
    elif entry.problem:
        yield Finding(
            Kind.UNREADABLE, Severity.ERROR, model, "the manifest is not usable", printable(entry.problem, 500)
        )
    elif tags.digest or tags.parents:
        claimed = tags.digest or f"{len(tags.parents)} parents"
        yield Finding(Kind.NO_MANIFEST, Severity.ERROR, model, "tags tell a lineage, no manifest does", claimed=claimed)
    # compared as a number: the registry's entry may hold a time that no calendar has
    if version.created_at_ms > (now + CLOCK_SKEW).timestamp() * 1000:
        yield _future(model, "registry's entry", f"{version.created_at_ms} ms", now)


def _future(model: str, what: str, made: str, now: datetime) -> Finding:
    return Finding(Kind.FUTURE, Severity.ERROR, model, f"the {what} is dated later than now", now.isoformat(), made)


def _against_manifest(model: str, tags: IndexTags, manifest: Manifest) -> Iterator[Finding]:
    if tags.digest != manifest.digest:
        detail = f"tag {DIGEST} names other content than the manifest"
        yield Finding(Kind.DIGEST_MISMATCH, Severity.ERROR, model, detail, manifest.digest, tags.digest)
    signature = manifest.training_data.signature if manifest.training_data else ""
    if tags.data != signature:
        detail = f"tag {DATA} names other training data than the manifest"
        yield Finding(Kind.DATA_MISMATCH, Severity.ERROR, model, detail, signature, tags.data)
    yield from _edges(model, tags.parents, edge_tags(manifest.parents))


def _edges(model: str, claimed: Iterable[TagEdge], recorded: Mapping[str, str]) -> Iterator[Finding]:
    told = {PARENT + e.prefix: f"{e.relation.value}:{e.origin.value}:{e.confidence!r}" for e in claimed}
    for key in sorted(told.keys() | recorded.keys()):
        tag, edge = told.get(key, ""), recorded.get(key, "")
        if tag and not edge:
            detail = f"tag {key} tells a parent that the manifest does not know"
            yield Finding(Kind.TAG_WITHOUT_EDGE, Severity.ERROR, model, detail, claimed=tag)
        elif edge and not tag:
            detail = f"the manifest tells a parent, tag {key} is gone or unreadable"
            yield Finding(Kind.EDGE_WITHOUT_TAG, Severity.ERROR, model, detail, edge)
        elif tag != edge:
            detail = f"tag {key} tells the edge otherwise than the manifest"
            yield Finding(Kind.EDGE_MISMATCH, Severity.ERROR, model, detail, edge, tag)


def _duplicates(entries: list[Entry]) -> Iterator[Finding]:
    """Versions of one content of which not all but one are marked with the address of another of them."""
    by_digest: dict[str, list[ModelVersion]] = {}
    for entry in entries:
        if entry.manifest:
            by_digest.setdefault(entry.manifest.digest, []).append(entry.version)
    for digest, versions in by_digest.items():
        addresses = {version.address for version in versions}
        unmarked = []
        for version in versions:
            mark = version.tags.get(DUPLICATE_OF, "")
            if mark not in addresses - {version.address}:
                unmarked.append(version)
            if mark and version in unmarked:
                detail = f"marked as duplicate of {printable(mark)}, which is no other version of this content"
                yield Finding(Kind.DUPLICATE, Severity.WARNING, version.address, detail, digest, printable(mark))
        first = min(unmarked or versions, key=lambda v: (v.created_at_ms, v.address))
        if not unmarked:
            detail = "every version of this content is marked as a duplicate; none is the canonical one"
            yield Finding(Kind.DUPLICATE, Severity.WARNING, first.address, detail, digest)
        for version in unmarked:
            if version is not first:
                detail = f"same content as {printable(first.address)}, not marked as its duplicate"
                yield Finding(Kind.DUPLICATE, Severity.WARNING, version.address, detail, digest)


def _ambiguous(entries: list[Entry], tags: list[IndexTags]) -> Iterator[Finding]:
    """Tags that answer for more than one content: search by them finds the wrong version."""
    claims: dict[str, dict[str, str]] = {}  # digest that a tag claims -> address -> digest of the manifest
    beginnings: dict[str, set[str]] = {}
    for entry, told in zip(entries, tags, strict=True):
        if entry.manifest:
            digest = entry.manifest.digest
            claims.setdefault(told.digest, {})[entry.version.address] = digest
            beginnings.setdefault(digest[:12], set()).add(digest)
    for claimed, holders in claims.items():
        for model, digest in holders.items():
            if claimed not in ("", digest) and len(holders) > 1:
                others = printable(", ".join(sorted(holders.keys() - {model})))
                detail = f"tag {DIGEST} = {claimed[:12]}... is claimed by other versions too: {others}"
                yield Finding(Kind.AMBIGUOUS_TAG, Severity.ERROR, model, detail, digest, claimed)
    for entry, told in zip(entries, tags, strict=True):
        for edge in told.parents:
            if len(beginnings.get(edge.prefix, ())) > 1:
                detail = f"tag {PARENT}{edge.prefix} fits {len(beginnings[edge.prefix])} registered contents"
                sides = ", ".join(sorted(beginnings[edge.prefix]))
                yield Finding(Kind.AMBIGUOUS_TAG, Severity.ERROR, entry.version.address, detail, sides, edge.prefix)
