"""The tree of one family again: parents of all members at once, from their fingerprints or from their weights."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from heritage.errors import NotFound
from heritage.flows import plans, prints
from heritage.flows.context import Context
from heritage.flows.methods import options_of
from heritage.flows.place import fetched, is_unlike
from heritage.flows.plans import Change
from heritage.flows.reconcile import reconcile, recovered, recovered_edge, said, unrelated
from heritage.flows.scratch import scratch
from heritage.flows.trees import canonical, family_of, labels, statistics_of, tree_of
from heritage.lineage.cycles import acyclic
from heritage.lineage.nodes import Edge
from heritage.names import printable
from heritage.records import Manifest, ModelVersion, Origin, ParentEdge
from heritage.recovery.models import Model
from heritage.recovery.recover import recover, recover_fingerprints
from heritage.recovery.results import RecoveredEdge, Recovery
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.fingerprint import Fingerprint

Record = dict[str, Any]


def run(ctx: Context, family: str, weights: bool = False, dry_run: bool = False) -> Record:
    """Rebuild the tree of `family` and tell what it is now: `status`, `models`, `models_updated`, `tree_statistics`,
    `roots`, and who was `left_out` for want of a fingerprint. A second run changes nothing.

    With `weights` the members' files are read instead of their fingerprints: adapters and TIES merges are told apart
    too, at the cost of all their bytes. Raises `NotFound` for a family that no version belongs to.
    """
    started = time.perf_counter()
    changes = planned(ctx, family, weights)
    if not dry_run:
        plans.record(ctx, plans.store_changes(ctx, changes))
    return report(ctx, family, len(changes), dry_run, time.perf_counter() - started)


def plan(ctx: Context, family: str, weights: bool = False) -> list[str]:
    """References to what has to be changed, for `plans.record`."""
    return plans.store_changes(ctx, planned(ctx, family, weights))


def report(ctx: Context, family: str, updated: int, dry_run: bool = False, seconds: float | None = None) -> Record:
    """The tree of `family` as the registry has it, also stored as `families/trees/<family>.json`."""
    members = members_of(ctx, family)
    manifests = manifests_of(ctx, members)
    label = labels(members)
    tree = tree_of(family, {d: manifests[d].parents if d in manifests else () for d in members})
    found = {
        "status": "planned" if dry_run else "success",
        "family_id": family,
        "models": len(members),
        "models_updated": updated,
        "tree_statistics": statistics_of(tree),
        "roots": [label[root] for root in tree.roots],
        "edges": [
            {"parent": label[e.parent], "child": label[e.child], "relation": e.relation, "confidence": e.confidence}
            for e in tree.edges
        ],
        "left_out": [label[d] for d in members if prints.FINGERPRINT_TAG not in members[d].tags],
        "seconds": None if seconds is None else round(seconds, 3),
    }
    if not dry_run:
        plans.put_tree(ctx, family, found)
    return found


def brief(found: Record) -> Record:
    """What `run` and `report` tell, without the lists that grow with the family."""
    return {**{k: v for k, v in found.items() if k not in ("edges", "left_out")}, "roots": found["roots"][:20]}


def planned(ctx: Context, family: str, weights: bool = False) -> list[Change]:
    """What has to be changed in `family`, members in order of age."""
    everything = canonical(ctx.registry.versions())
    members = {d: v for d, v in everything.items() if family_of(v) == family}
    if not members:
        members_of(ctx, family)  # raises, unless all members are duplicates of other families' contents
    return changes_of(ctx, family, members, everything, weights)


def changes_of(
    ctx: Context,
    family: str,
    members: Mapping[str, ModelVersion],
    everything: Mapping[str, ModelVersion],
    weights: bool = False,
    fresh: bool = False,
) -> list[Change]:
    """What has to be changed for `members` to be `family` with its recovered tree; `fresh` forgets what was recovered
    before. `everything` are all contents, for parents in other families.
    """
    taken = {d: p for d, p in prints.read(ctx, members).items() if prints.is_finite(p)}
    manifests = manifests_of(ctx, members)
    found = _recovered(ctx, members, taken, weights)
    for digest in taken.keys() & manifests.keys():
        found[digest] += _denied(ctx, digest, manifests[digest], taken, everything, found[digest])
    before = {d: said(m.parents) if fresh else m.parents for d, m in manifests.items()}
    wanted = _wanted(before, {d: edges for d, edges in found.items() if d in manifests})
    return [
        Change(d, family, recovered(wanted[d]))
        for d, m in manifests.items()
        if wanted[d] != m.parents or family_of(members[d]) != family
    ]


def members_of(ctx: Context, family: str) -> dict[str, ModelVersion]:
    """One version for each content of `family`, by digest, oldest first; `NotFound` where there is none."""
    members = canonical(ctx.registry.versions(family=family))
    if not members:
        raise NotFound(f"no version belongs to a family '{printable(family)}'; `heritage families` lists them")
    return members


def manifests_of(ctx: Context, versions: Mapping[str, ModelVersion]) -> dict[str, Manifest]:
    """Sound manifests by digest, in the order of `versions`."""
    found = ctx.registry.entries(versions.values())
    return {entry.manifest.digest: entry.manifest for entry in found if entry.manifest}


def _recovered(
    ctx: Context, members: Mapping[str, ModelVersion], taken: Mapping[str, Fingerprint], weights: bool
) -> dict[str, list[ParentEdge]]:
    """Recovered edges to each of `taken`."""
    found = _by_weights(ctx, members, taken) if weights else recover_fingerprints(taken, options_of(ctx))
    evidence = "weights" if weights else "fingerprints"
    edges: dict[str, list[ParentEdge]] = {digest: [] for digest in taken}
    for e in _edges(found):
        edges[e.child].append(recovered_edge(e, members[e.parent], evidence))
    return edges


def _edges(found: Recovery) -> Sequence[RecoveredEdge]:
    return [edge for family in found.families for edge in family.edges]


def _by_weights(ctx: Context, members: Mapping[str, ModelVersion], taken: Mapping[str, Fingerprint]) -> Recovery:
    limits = prints.limits_of(ctx)
    with scratch(ctx, "rebuild") as folder, ExitStack() as stack:
        models = []
        for digest in taken:
            path = fetched(ctx, members[digest], folder)
            models.append(Model(digest, stack.enter_context(Checkpoint.open(path, limits))))
        return recover(models, options_of(ctx))


def _denied(
    ctx: Context,
    digest: str,
    manifest: Manifest,
    taken: Mapping[str, Fingerprint],
    everything: Mapping[str, ModelVersion],
    found: Sequence[ParentEdge],
) -> list[ParentEdge]:
    """Records that the weights speak against parents that were named."""
    confirmed = {edge.digest for edge in found}
    named = {e.digest: everything[e.digest] for e in said(manifest.parents) if e.digest in everything}
    known = {**prints.read(ctx, {d: v for d, v in named.items() if d not in taken}), **taken}
    z_score = ctx.settings.recovery.z_score
    return [
        unrelated(e, "fingerprints")
        for e in said(manifest.parents)
        if e.digest not in confirmed and e.digest in known and is_unlike(taken[digest], known[e.digest], e, z_score)
    ]


def _wanted(
    before: Mapping[str, Sequence[ParentEdge]], found: Mapping[str, Sequence[ParentEdge]]
) -> dict[str, tuple[ParentEdge, ...]]:
    """All parents of each member. Proofs that are kept from before may close a circle with what is found now, or with
    what the process that made a version attests: then those that stand in it get what is found, and what still does
    is left out.
    """
    wanted = {d: reconcile(own, found[d]) if d in found else tuple(own) for d, own in before.items()}
    attested = [Edge(d, e) for d, edges in before.items() for e in edges if e.origin is Origin.ATTESTED]
    for again in (True, False):
        seen = [Edge(d, e) for d, edges in wanted.items() for e in recovered(edges) if e.confidence > 0]
        for edge in (e for e in acyclic([*attested, *seen])[1] if e.record.origin is Origin.RECOVERED):
            own = said(before[edge.child])
            kept = found.get(edge.child, ()) if again else [e for e in wanted[edge.child] if e is not edge.record]
            wanted[edge.child] = (*own, *recovered(kept))
    return wanted
