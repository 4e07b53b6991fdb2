"""Children of a version that came after them: they get their recovered edge when the parent does."""

from collections.abc import Mapping
from dataclasses import replace

from heritage.flows.context import Context
from heritage.flows.reconcile import reconcile, recovered
from heritage.names import printable
from heritage.records import Manifest, ModelVersion, ParentEdge


def adopt(ctx: Context, parent: Manifest, children: Mapping[str, ParentEdge]) -> list[str]:
    """Write the recovered edges from `parent` to `children` (by digest); addresses of the versions that got one.

    A child that has a recovered parent keeps it: which of the two is right is for `rebuild`, which sees the whole
    family. So does one of which `parent` descends by recovered edges, since these never run in a circle.
    """
    told: list[str] = []
    above = _above(ctx, parent) if children else set()
    for digest, edge in children.items():
        if digest in above:
            continue
        for entry in ctx.registry.entries(ctx.registry.versions(digest=digest)):
            if entry.manifest and not _has_parent(entry.manifest):
                _write(ctx, entry.version, entry.manifest, edge)
                told.append(printable(entry.version.address))
    return told


def _has_parent(child: Manifest) -> bool:
    return any(known.confidence > 0 for known in recovered(child.parents))


def _above(ctx: Context, manifest: Manifest) -> set[str]:
    """Digests of all that `manifest` descends from by recovered edges."""
    found: set[str] = set()
    waiting = [edge.digest for edge in recovered(manifest.parents)]
    while waiting:
        digest = waiting.pop()
        if digest not in found:
            found.add(digest)
            entries = ctx.registry.entries(ctx.registry.versions(digest=digest))
            waiting += [edge.digest for e in entries if e.manifest for edge in recovered(e.manifest.parents)]
    return found


def _write(ctx: Context, version: ModelVersion, manifest: Manifest, edge: ParentEdge) -> None:
    others = [known for known in recovered(manifest.parents) if known.digest != edge.digest]
    ctx.registry.amend(version, replace(manifest, parents=reconcile(manifest.parents, [*others, edge])))
