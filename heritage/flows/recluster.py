"""All families again: every version's fingerprint, families that keep their ids, and the tree of each.

Mapped in a DAG over portions of versions (`prepare`), families (`trees`) and changes (`plans.record`); `run` does the
same in one process. Weights decide about families; a distilled student, whose weights owe its teacher nothing, stays
with the teacher that was named.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from heritage.errors import HeritageError, Unavailable
from heritage.flows import ingest, plans, prints
from heritage.flows.clusters import Clustering, cluster, joined
from heritage.flows.context import Context
from heritage.flows.methods import options_of
from heritage.flows.plans import Change
from heritage.flows.rebuild import changes_of
from heritage.flows.reconcile import WITHOUT_WEIGHTS, said
from heritage.flows.steps import chunks
from heritage.flows.trees import PROBLEM_TAG, canonical, family_of, is_taken, tagged_edges
from heritage.names import printable
from heritage.records import ModelVersion, Origin
from heritage.recovery.quality import stable_ids
from heritage.registry import FAMILY

Record = dict[str, Any]


def run(ctx: Context, reset: bool = False, dry_run: bool = False) -> Record:
    """Recluster everything: `families` (id, number of members), `quality`, how many versions `moved` to another family
    and how many were updated in all, and who was `left_out` for want of a fingerprint. A second run changes nothing.

    With `reset` all families and recovered edges are dropped first, so nothing of what was found before is kept; if
    that is killed half-way, run it again.
    """
    started = time.perf_counter()
    for addresses in [] if dry_run else portions(ctx):
        prepare(ctx, addresses, reset)
    found = _found(ctx, reset)
    if dry_run:
        updated = sum(len(_changes(ctx, family, found.members, reset)) for family in found.families.items())
        return _told(found, updated, time.perf_counter() - started) | {"status": "planned"}
    references = _stored(ctx, found)
    changes = [changed for reference in references for changed in trees(ctx, reference)]
    return publish(ctx, references, plans.record(ctx, changes), time.perf_counter() - started)


def portions(ctx: Context) -> list[list[str]]:
    """Addresses of all versions whose names heritage takes, some at a time."""
    found = [v.address for v in ctx.registry.versions() if is_taken(v.name)]
    return chunks(found, ctx.settings.recovery.chunk)


def prepare(ctx: Context, addresses: Sequence[str], reset: bool = False) -> list[str]:
    """See to it that each version has a fingerprint, and with `reset` that nothing recovered is left of it; the same
    addresses. What cannot be read is tagged with the reason, as by ingestion, and left out.
    """
    for address in addresses:
        version = ctx.registry.version(address)
        if PROBLEM_TAG not in version.tags and prints.stored(ctx, version) is None:
            ingest.fingerprint(ctx, address)
        if reset:
            _drop(ctx, version)
    return list(addresses)


def families(ctx: Context, reset: bool = False) -> list[str]:
    """Find all families anew and store them as a plan; references to portions of it, for `trees`."""
    return _stored(ctx, _found(ctx, reset))


def trees(ctx: Context, reference: str) -> list[str]:
    """What has to be changed in the families that `reference` names, stored; references for `plans.record`."""
    document, which = plans.part(ctx, reference)
    members = canonical(ctx.registry.versions())
    own = [(f["id"], tuple(f["members"])) for f in document["families"][which]]
    changes = [change for family in own for change in _changes(ctx, family, members, False)]
    return plans.store_changes(ctx, changes)


def publish(ctx: Context, references: Sequence[str], updated: int, seconds: float | None = None) -> Record:
    """Store what the plan of `references` found as `families/current.json`, and tell the gist of it."""
    if not references:
        return {"status": "success", "families": [], "models_updated": updated}
    document, _ = plans.part(ctx, references[0])
    addresses = {d: printable(v.address) for d, v in canonical(ctx.registry.versions()).items()}
    listed = [
        {"id": f["id"], "members": [addresses[d] for d in f["members"] if d in addresses]} for f in document["families"]
    ]
    summary = {k: v for k, v in document.items() if k not in ("families", "kind")}
    took = None if seconds is None else round(seconds, 3)
    told = {**summary, "models_updated": updated, "at": ctx.now().isoformat(), "seconds": took}
    plans.put_current(ctx, {**told, "families": listed})
    sizes = [{"id": f["id"], "members": len(f["members"])} for f in listed]
    return {"status": "success", **told, "families": sizes[:100]}


@dataclass(frozen=True, eq=False)
class _Found:
    """Families by id (digests, sorted), everything they were found among, and the clustering they come from."""

    families: Mapping[str, tuple[str, ...]]
    members: Mapping[str, ModelVersion]
    clustering: Clustering
    left_out: tuple[str, ...]

    @property
    def moved(self) -> int:
        """Contents whose family is another one than their tag says."""
        return sum(family_of(self.members[d]) != family for family, own in self.families.items() for d in own)


def _found(ctx: Context, reset: bool) -> _Found:
    members = canonical(ctx.registry.versions())
    taken = prints.read(ctx, members)
    clustering = cluster(taken, options_of(ctx))
    links = [
        (e.child, e.parent)
        for e in tagged_edges(members)
        if e.record.origin is not Origin.RECOVERED
        and (e.record.relation in WITHOUT_WEIGHTS or not {e.child, e.parent} <= taken.keys())
    ]
    left_out = sorted(members.keys() - taken.keys())
    alone = [(digest,) for digest in left_out]
    found = joined([*clustering.families, *alone], links)
    return _Found(_ids(found, members, reset), members, clustering, tuple(left_out))


def _ids(
    found: Sequence[tuple[str, ...]], members: Mapping[str, ModelVersion], reset: bool
) -> dict[str, tuple[str, ...]]:
    """An id for each family: the one that most of its members have, else the name of its oldest member's model."""
    age = {digest: i for i, digest in enumerate(members)}
    ordered = sorted(found, key=lambda family: min(age[d] for d in family))
    old: dict[str, set[str]] = {}
    for digest, version in members.items():
        if family_of(version) and not reset:
            old.setdefault(family_of(version), set()).add(digest)
    fresh = [members[min(family, key=age.__getitem__)].name for family in ordered]
    known = {family: frozenset(own) for family, own in old.items()}
    return dict(zip(stable_ids(known, [frozenset(f) for f in ordered], fresh), ordered, strict=True))


def _changes(
    ctx: Context, family: tuple[str, Sequence[str]], everything: Mapping[str, ModelVersion], fresh: bool
) -> list[Change]:
    name, digests = family
    own = {d: everything[d] for d in digests if d in everything}
    return changes_of(ctx, name, own, everything, fresh=fresh)


def _stored(ctx: Context, found: _Found) -> list[str]:
    """The plan; its hash does not depend on when it was made."""
    document = {"kind": "families", **_summary(found)}
    document["families"] = [{"id": family, "members": list(own)} for family, own in found.families.items()]
    plan = plans.store(ctx, document)
    return plans.parts(plan, [len(own) for own in found.families.values()], ctx.settings.recovery.chunk)


def _summary(found: _Found) -> Record:
    label = {d: printable(v.address) for d, v in found.members.items()}
    quality = found.clustering
    return {
        "contents": len(found.members),
        "moved": found.moved,
        "left_out": [label[d] for d in found.left_out],
        "quality": {
            "silhouette": quality.silhouette,
            "stability": quality.stability,
            "outliers": [label[d] for d in quality.outliers],
            "architectures": quality.architectures,
        },
    }


def _told(found: _Found, updated: int, seconds: float) -> Record:
    sizes = [{"id": family, "members": len(own)} for family, own in found.families.items()]
    return {**_summary(found), "families": sizes[:100], "models_updated": updated, "seconds": round(seconds, 3)}


def _drop(ctx: Context, version: ModelVersion) -> None:
    """Take family and recovered edges from a version; what was said stays."""
    ctx.registry.remove_tag(version, FAMILY)
    try:
        manifest = ctx.registry.manifest(version)
    except Unavailable:
        raise
    except HeritageError:
        return  # the audit tells what is wrong with it
    if manifest and said(manifest.parents) != manifest.parents:
        ctx.registry.amend(version, replace(manifest, parents=said(manifest.parents)))
