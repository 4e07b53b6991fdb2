"""What family work is going to change, in storage before anything is changed.

    families/plans/<hash>.json    a plan, named by its content and written once
    families/trees/<family>.json  what the last rebuild of a family found
    families/current.json         what the last recluster found

Mapped tasks hand on references to parts of a plan ('<hash>:<start>:<stop>'), never the plan itself.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from heritage.errors import BadInput, NotFound
from heritage.flows.context import Context
from heritage.flows.reconcile import recovered, said
from heritage.flows.steps import MOST_CHUNKS, chunks
from heritage.flows.trees import family_of
from heritage.names import check_digest, check_name, printable
from heritage.records import Manifest, ModelVersion, Origin, ParentEdge, Relation, Transformation

CURRENT_KEY = "families/current.json"
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What a content is going to be: its family, and all recovered edges to it."""

    digest: str
    family: str
    parents: tuple[ParentEdge, ...]


def store(ctx: Context, document: Record) -> str:
    """Store a plan and return its hash; the same plan twice is one object."""
    data = json.dumps(document, sort_keys=True, allow_nan=False).encode()
    plan = hashlib.sha256(data).hexdigest()
    ctx.store.create(_key(plan), data)
    return plan


def load(ctx: Context, plan: str) -> Record:
    """The plan of this hash; `NotFound` where there is none."""
    found: Record = json.loads(ctx.store.get(_key(plan)))
    return found


def parts(plan: str, sizes: Sequence[int], wanted: int) -> list[str]:
    """References to consecutive items of a plan, `sizes[i]` units of work each: about `wanted` units in a part, or
    more where there would be too many parts for mapped tasks.
    """
    wanted = max(wanted, -(-sum(sizes) // MOST_CHUNKS))
    found, start, load_now = [], 0, 0
    for i, size in enumerate(sizes):
        load_now += size
        if load_now >= wanted or i == len(sizes) - 1:
            found.append(f"{plan}:{start}:{i + 1}")
            start, load_now = i + 1, 0
    return found


def portions(found: Iterable[Sequence[str]] | None) -> list[list[str]]:
    """All references of several plans, as many to a portion as keep the portions few enough for mapped tasks."""
    return chunks([reference for references in found or () for reference in references], 1)


def part(ctx: Context, reference: str) -> tuple[Record, slice]:
    """The plan that `reference` names, and which of its items; `BadInput` for a reference of another form."""
    plan, *ends = reference.split(":")
    if len(ends) != 2 or not all(end.isdecimal() and len(end) < 10 for end in ends):
        raise BadInput(f"'{printable(reference)}' is no part of a plan; expected <hash>:<start>:<stop>")
    return load(ctx, check_digest(plan)), slice(int(ends[0]), int(ends[1]))


def store_changes(ctx: Context, changes: Sequence[Change]) -> list[str]:
    """Store `changes` as a plan; references to its parts, none where there is nothing to change."""
    if not changes:
        return []
    plan = store(ctx, {"kind": "changes", "changes": [_plain(change) for change in changes]})
    return parts(plan, [1] * len(changes), ctx.settings.recovery.chunk)


def record(ctx: Context, references: Sequence[str]) -> int:
    """Carry out parts of changes; the number of versions that were not so already."""
    count = 0
    for reference in references:
        document, which = part(ctx, reference)
        count += sum(carry_out(ctx, _change(plain)) for plain in document["changes"][which])
    return count


def carry_out(ctx: Context, change: Change) -> int:
    """Make every version of the content as the plan says; how many were changed. What was said is read afresh.

    Versions that only claim the content in a tag are left to the audit.
    """
    found = ctx.registry.entries(ctx.registry.versions(digest=change.digest))
    return sum(_write(ctx, entry.version, entry.manifest, change) for entry in found if entry.manifest)


def put_tree(ctx: Context, family: str, document: Record) -> None:
    """Store what a rebuild found."""
    ctx.store.put(f"families/trees/{check_name(family, 'family')}.json", _bytes(document))


def put_current(ctx: Context, document: Record) -> None:
    """Store what a recluster found."""
    ctx.store.put(CURRENT_KEY, _bytes(document))


def current(ctx: Context) -> Record:
    """What the last recluster stored, {} where there was none."""
    try:
        found: Record = json.loads(ctx.store.get(CURRENT_KEY))
    except NotFound:
        return {}
    return found


def _write(ctx: Context, version: ModelVersion, manifest: Manifest, change: Change) -> int:
    wanted = replace(manifest, parents=(*said(manifest.parents), *change.parents))
    changed = wanted != manifest or family_of(version) != change.family
    if changed:
        ctx.registry.amend(version, wanted, change.family)
    return int(changed)


def _plain(change: Change) -> Record:
    parents = [
        {
            "digest": e.digest,
            "relation": e.relation.value,
            "confidence": e.confidence,
            "name": e.name,
            "version": e.version,
            **e.transformation.parameters,
        }
        for e in recovered(change.parents)
    ]
    return {"digest": change.digest, "family": change.family, "parents": parents}


def _change(plain: Record) -> Change:
    parents = tuple(
        ParentEdge(
            p["digest"], Relation(p["relation"]), Origin.RECOVERED, p["confidence"], p["name"], p["version"],
            Transformation("recovered", {"reason": p["reason"], "evidence": p["evidence"]}),
        )
        for p in plain["parents"]
    )  # fmt: skip
    return Change(plain["digest"], plain["family"], parents)


def _key(plan: str) -> str:
    return f"families/plans/{check_digest(plan)}.json"


def _bytes(document: Record) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True, allow_nan=False).encode()
