"""Versions that were registered by hand in MLflow get a digest, a manifest and their declared parents."""

import tempfile
from pathlib import Path
from typing import Any

from heritage import __version__
from heritage.errors import HeritageError, NotFound, Unavailable, UnsafeCheckpoint
from heritage.flows.context import Context
from heritage.lineage.hub import HubEdge, parent_edges, read_card
from heritage.names import printable
from heritage.records import MadeBy, Manifest, ModelVersion, ParentEdge
from heritage.registry import FAMILY
from heritage.registry.contents import measure
from heritage.weights.limits import Limits

PROBLEM_TAG = "heritage.ingest"
PLACED_TAG = "heritage.placed"
CARD, CARD_LIMIT = "README.md", 2**20


def pending(ctx: Context, address: str = "") -> list[str]:
    """Addresses of all versions without a digest that were not found unreadable before; or the one that was named."""
    if address:
        return [ctx.registry.version(address).address]
    return [v.address for v in ctx.registry.versions() if not v.digest and PROBLEM_TAG not in v.tags]


def run(ctx: Context, address: str, dry_run: bool = False) -> dict[str, Any]:
    """Give the version its manifest; one that cannot be read is tagged with the reason and left alone.

    An outage is raised, not told as a fault of the version.
    """
    version = ctx.registry.version(address)
    result = {"address": version.address, "digest": version.digest, "parents": [], "problem": "", "dry_run": dry_run}
    if version.digest:
        return result
    try:
        manifest = _manifest(ctx, version)
        if not dry_run:
            ctx.registry.amend(version, manifest, _family(ctx, version, manifest))
    except Unavailable:
        raise
    except HeritageError as error:
        problem = printable(str(error), 1000)
        if not dry_run:
            ctx.registry.set_tag(version, PROBLEM_TAG, problem)
        return {**result, "problem": problem}
    return {**result, "digest": manifest.digest, "parents": [f"{p.relation}:{p.digest}" for p in manifest.parents]}


def _manifest(ctx: Context, version: ModelVersion) -> Manifest:
    limits = Limits(ctx.settings.weights.max_header_bytes, ctx.settings.weights.max_tensors)
    with tempfile.TemporaryDirectory() as folder:
        weights = ctx.registry.fetch_unverified(version, Path(folder))
        try:
            contents = measure(weights, limits)
        except UnsafeCheckpoint as error:
            # a tag is no place for the temporary folder of this machine
            raise UnsafeCheckpoint(str(error).replace(f"{weights}/", "")) from error
    return Manifest(
        digest=contents.digest,
        name=version.name,
        files=tuple(file.record for file in contents.files),
        dtype=contents.dtype,
        parameters=contents.parameters,
        made_by=MadeBy(__version__, dag="heritage_ingest"),
        created_at=ctx.now().isoformat(),
        parents=_declared(ctx, version, contents.digest),
    )


def _declared(ctx: Context, version: ModelVersion, digest: str) -> tuple[ParentEdge, ...]:
    """Parents that the model card names and that are registered here.

    The card is README.md among the run's files, else the tags `base_model` and `base_model_relation`, which say the
    same in the same words.
    """
    try:
        card = ctx.registry.artifact(version, CARD, CARD_LIMIT).decode("utf-8", "replace")
    except NotFound:
        card = _card_of_tags(version)
    edges = read_card(card, version.name, f"model card of {printable(version.address)}").edges
    digest_of = {version.name: digest}
    for edge in edges:
        if parent := _registered(ctx, edge):
            digest_of[edge.parent] = parent.digest
    return tuple(e for e in parent_edges(edges, digest_of).get(digest, []) if e.digest != digest)


def _card_of_tags(version: ModelVersion) -> str:
    import yaml

    said = {k: version.tags[k] for k in ("base_model", "base_model_relation") if k in version.tags}
    if "base_model" in said:
        bases = [part.strip() for part in said["base_model"].split(",") if part.strip()]
        return f"---\n{yaml.safe_dump({**said, 'base_model': bases})}---\n"
    return ""


def _registered(ctx: Context, edge: HubEdge) -> ModelVersion | None:
    """The registered version that a hub id means: 'name', or 'name/3', or the last part of 'Organisation/name'."""
    for address in (edge.parent, edge.parent.rpartition("/")[2]):
        try:
            found = ctx.registry.version(address)
        except HeritageError:
            continue
        if found.digest:
            return found
    return None


def _family(ctx: Context, version: ModelVersion, manifest: Manifest) -> str:
    for edge in manifest.parents:
        for parent in ctx.registry.versions(digest=edge.digest):
            if FAMILY in parent.tags:
                return parent.tags[FAMILY]
    return version.name
