"""Process one new version: fingerprint, manifest, family and parents, each with how it is known.

For versions that were registered by hand in MLflow, and for those of `heritage register`, whose parents were named
but not yet compared with their weights. Two steps, each of which may run twice: `fingerprint` looks at the version
alone, so many can be done at once; `run` finds its place among the others, one version after the other.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from heritage import __version__
from heritage.errors import HeritageError, Unavailable, UnsafeCheckpoint
from heritage.flows import news, prints, story
from heritage.flows.adopt import adopt
from heritage.flows.context import Context
from heritage.flows.declared import declared_parents
from heritage.flows.place import Found, Subject, fetched, find_place
from heritage.flows.reconcile import agreements, findings, reconcile, recovered, said
from heritage.flows.scratch import scratch
from heritage.flows.steps import Steps, chunks
from heritage.flows.trees import PLACED_TAG, PROBLEM_TAG, believed, edge_records, is_taken
from heritage.names import printable
from heritage.records import MadeBy, Manifest, ModelVersion
from heritage.registry import FAMILY
from heritage.registry.contents import measure
from heritage.weights.fingerprint import Fingerprint

RESULT_PATH = "heritage/ingest.json"

Result = dict[str, Any]
_GIST = ("address", "status", "family_id", "parent_id", "parent_confidence", "problem")


def pending(ctx: Context, address: str = "") -> list[str]:
    """Addresses of all versions without a place that were not found unreadable before, oldest first; or the one that
    was named. Versions whose names heritage does not take are left to the audit.
    """
    if address:
        return [ctx.registry.version(address).address]
    return [v.address for v in ctx.registry.versions() if _waits(v)]


def pending_chunks(ctx: Context, address: str = "") -> list[list[str]]:
    """`pending` in portions for mapped tasks."""
    return chunks(pending(ctx, address), ctx.settings.recovery.chunk)


def fingerprint(ctx: Context, address: str) -> Result:
    """Give the version its fingerprint, and the manifest where it has none; tell address, digest and problem.

    A version that cannot be read is tagged with the reason and left alone. An outage is raised.
    """
    version = ctx.registry.version(address)
    result: Result = {"address": version.address, "digest": version.digest, "problem": ""}
    try:
        with scratch(ctx, "ingest") as folder:
            ready = _prepare(ctx, version, folder, Steps())
            _keep(ctx, version, ready)
        return {**result, "digest": ready.subject.digest}
    except Unavailable:
        raise
    except HeritageError as error:
        return {**result, "problem": _problem(ctx, version, error)}


def run(ctx: Context, address: str, dry_run: bool = False) -> Result:
    """Process the version at `address`, again where it was processed before.

    The result holds `status` (success, failed, planned), `family_id`, `parent_id` and `parent_confidence` (None
    without a parent), all `parents` and `children` as edges, the `nearest` relatives, what was `declared` and is
    confirmed (`agreements`) or contradicted (`findings`), and `steps` with their seconds. It is stored as
    `heritage/ingest.json` of the version. One that cannot be read is tagged with the reason; an outage is raised.
    """
    version = ctx.registry.version(address)
    steps = Steps()
    blank = {"address": version.address, "digest": version.digest, "problem": "", "steps": steps.done}
    try:
        with scratch(ctx, "ingest") as folder:
            return blank | _processed(ctx, version, folder, steps, dry_run)
    except Unavailable:
        raise
    except HeritageError as error:
        problem = printable(str(error), 1000) if dry_run else _problem(ctx, version, error)
        return blank | {"status": "failed", "problem": problem, "parents": [], "dry_run": dry_run}


def run_all(ctx: Context, addresses: Sequence[str], dry_run: bool = False, again: bool = False) -> list[Result]:
    """`run` for each of `addresses` that has no place yet, or for all of them (`again`); of each result, the gist.

    Versions that cannot be read are told from before and not tried again, unless `again`.
    """
    told = []
    for address in addresses:
        version = ctx.registry.version(address)
        if again or _waits(version):
            result = run(ctx, address, dry_run)
            told.append({key: result.get(key) for key in _GIST})
    return told


def fingerprint_all(ctx: Context, addresses: Sequence[str]) -> list[str]:
    """`fingerprint` for each of `addresses`; the same addresses, for the task that follows."""
    for address in addresses:
        if _waits(ctx.registry.version(address)):
            fingerprint(ctx, address)
    return list(addresses)


@dataclass(frozen=True, eq=False)
class _Ready:
    """A version that was looked at: its manifest without what is found later, and whether anything is to be stored."""

    subject: Subject
    manifest: Manifest
    new_manifest: bool
    new_print: bool


def _processed(ctx: Context, version: ModelVersion, folder: Path, steps: Steps, dry_run: bool) -> Result:
    ready = _prepare(ctx, version, folder, steps)
    if not dry_run:
        _keep(ctx, version, ready)
    manifest = _with_declared(ctx, version, ready.manifest, steps)
    with steps.step("place") as told:
        found = find_place(ctx, ready.subject, said(manifest.parents), folder)
        told["evidence"] = found.evidence
        if found.note:
            told["detail"] = found.note
    manifest = replace(manifest, parents=reconcile(manifest.parents, found.parents))
    result = _result(ctx, version, manifest, found, dry_run)
    if not dry_run:
        with steps.step("record"):
            result["adopted"] = _record(ctx, version, manifest, found)
        _finish(ctx, version, {"address": version.address, **result, "steps": steps.done}, found)
        news.ingested(ctx, version, manifest, result)
        story.tell(ctx, version.address)
    return result


def _prepare(ctx: Context, version: ModelVersion, folder: Path, steps: Steps) -> _Ready:
    """Manifest and fingerprint of `version`: those that are stored, else made from its weights."""
    manifest = ctx.registry.manifest(version) if version.digest else None
    if manifest is not None:
        return _registered(ctx, version, manifest, folder, steps)
    with steps.step("fetch"):
        weights = ctx.registry.fetch_unverified(version, folder)
    try:
        with steps.step("fingerprint"):
            contents = measure(weights, prints.limits_of(ctx))
            taken = prints.taken_from(ctx, weights)
    except UnsafeCheckpoint as error:
        # a tag is no place for the temporary folder of this machine
        raise UnsafeCheckpoint(str(error).replace(f"{weights}/", "")) from error
    manifest = Manifest(
        digest=contents.digest,
        name=version.name,
        files=tuple(file.record for file in contents.files),
        dtype=contents.dtype,
        parameters=contents.parameters,
        made_by=MadeBy(__version__, dag="heritage_ingest"),
        created_at=ctx.now().isoformat(),
    )
    return _Ready(Subject(version, contents.digest, taken, lambda: weights), manifest, True, True)


def _registered(ctx: Context, version: ModelVersion, manifest: Manifest, folder: Path, steps: Steps) -> _Ready:
    taken: Fingerprint | None = prints.stored(ctx, version)
    known = taken is not None
    if taken is None:
        with steps.step("fetch"):
            weights = fetched(ctx, version, folder)
        with steps.step("fingerprint"):
            taken = prints.taken_from(ctx, weights)
    subject = Subject(version, manifest.digest, taken, lambda: fetched(ctx, version, folder))
    return _Ready(subject, manifest, False, not known)


def _keep(ctx: Context, version: ModelVersion, ready: _Ready) -> None:
    if ready.new_print:
        prints.keep(ctx, version, ready.subject.taken)
    if ready.new_manifest:
        ctx.registry.amend(version, ready.manifest)


def _with_declared(ctx: Context, version: ModelVersion, manifest: Manifest, steps: Steps) -> Manifest:
    """`manifest` with the parents of the model card; a card that cannot be read is noted and gives none."""
    try:
        with steps.step("declared") as told:
            known = {edge.digest for edge in said(manifest.parents)}
            new = [e for e in declared_parents(ctx, version, manifest.digest) if e.digest not in known]
            told["parents"] = len(known) + len(new)
            return replace(manifest, parents=(*manifest.parents, *new))
    except Unavailable:
        raise
    except HeritageError:
        return manifest


def _record(ctx: Context, version: ModelVersion, manifest: Manifest, found: Found) -> list[str]:
    """Write manifest, tags and the children's edges; addresses of the children that got one."""
    now = ctx.registry.version(version.address)
    if ctx.registry.manifest(now) != manifest or now.tags.get(FAMILY) != found.family:
        ctx.registry.amend(now, manifest, found.family)
    return adopt(ctx, manifest, found.children)


def _finish(ctx: Context, version: ModelVersion, result: Result, found: Found) -> None:
    ctx.registry.put_artifact(version, RESULT_PATH, json.dumps(result, indent=1, allow_nan=False).encode())
    if PROBLEM_TAG in version.tags:
        ctx.registry.remove_tag(version, PROBLEM_TAG)
    if version.tags.get(PLACED_TAG) != found.evidence:
        ctx.registry.set_tag(version, PLACED_TAG, found.evidence)


def _result(ctx: Context, version: ModelVersion, manifest: Manifest, found: Found, dry_run: bool) -> Result:
    others = _parents(ctx, manifest)
    label = {digest: printable(parent.address) for digest, (parent, _) in others.items()}
    label[manifest.digest] = printable(version.address)
    first = next(iter(believed(manifest.parents)), None)
    return {
        "status": "planned" if dry_run else "success",
        "digest": manifest.digest,
        "family_id": found.family,
        "parent_id": label.get(first.digest, first.digest[:12]) if first else None,
        "parent_confidence": first.confidence if first else None,
        "parents": edge_records(manifest.digest, manifest.parents, label),
        "children": [
            {"child_digest": digest, "relation": e.relation.value, "confidence": e.confidence}
            for digest, e in found.children.items()
        ],
        "nearest": [printable(v.address) for v in found.nearest],
        "evidence": found.evidence,
        "declared": len(said(manifest.parents)),
        "recovered": len([e for e in recovered(manifest.parents) if e.confidence > 0]),
        "agreements": [label.get(d, d[:12]) for d in agreements(manifest.parents)],
        "findings": findings(version, manifest, others),
        "dry_run": dry_run,
    }


def _parents(ctx: Context, manifest: Manifest) -> dict[str, tuple[ModelVersion, Manifest]]:
    """The registered parents in `manifest`, by digest."""
    found: dict[str, tuple[ModelVersion, Manifest]] = {}
    for digest in {edge.digest for edge in manifest.parents}:
        for entry in ctx.registry.entries(ctx.registry.versions(digest=digest)):
            if entry.manifest:
                found.setdefault(digest, (entry.version, entry.manifest))
    return found


def _waits(version: ModelVersion) -> bool:
    return is_taken(version.name) and PLACED_TAG not in version.tags and PROBLEM_TAG not in version.tags


def _problem(ctx: Context, version: ModelVersion, error: HeritageError) -> str:
    problem = printable(str(error), 1000)
    ctx.registry.set_tag(version, PROBLEM_TAG, problem)
    return problem
