"""What flows tell other systems, as events; nothing is done where events are off."""

from collections.abc import Mapping
from typing import Any

from heritage import events
from heritage.drift.verdict import Verdict
from heritage.events import Event, Version
from heritage.flows.context import Context
from heritage.names import printable
from heritage.records import Manifest, ModelVersion, ParentEdge
from heritage.registry import FAMILY
from heritage.registry.translate import without_password


def registered(ctx: Context, version: ModelVersion, parents: tuple[ParentEdge, ...]) -> None:
    """A version was registered, made from `parents`."""
    made = _version(version, parents)
    _tell(ctx, Event("register", version.digest + version.address, _parents(parents), (made,)))


def ingested(ctx: Context, version: ModelVersion, manifest: Manifest, result: Mapping[str, Any]) -> None:
    """A version got its place in the lineage."""
    made = _version(version, manifest.parents, manifest.digest)
    told = {key: result.get(key) for key in ("status", "family_id", "parent_id", "parent_confidence", "evidence")}
    _tell(ctx, Event("ingest", version.address + manifest.digest, _parents(manifest.parents), (made,), told))


def judged(ctx: Context, version: ModelVersion, verdict: Verdict) -> None:
    """A window of a deployed version was judged."""
    told = {
        "window": verdict.window,
        "status": verdict.status,
        "rows": verdict.rows,
        "effect": verdict.effect,
        "moved": list(verdict.moved),
        "columns": [printable(name) for name in verdict.drifted_columns[:100]],
    }
    _tell(ctx, Event("drift_check", f"{version.address} {verdict.window}", (_version(version),), (), told))


def decided(ctx: Context, result: Mapping[str, Any]) -> None:
    """The gate decided on a repair or a validation."""
    kept = ("kind", "decision", "reason", "rung", "window", "plan", "coefficients")
    told: dict[str, Any] = {key: result[key] for key in kept if key in result}
    gate = result.get("gate") or {}
    told |= {key: gate[key] for key in ("before", "after", "gain", "rows") if key in gate}
    read = [str(result.get("champion", "")), *map(str, result.get("coefficients") or {})]
    inputs = tuple(Version(address) for address in dict.fromkeys(read) if address)
    _tell(ctx, Event(str(result.get("kind", "repair")), str(result.get("plan", "")), inputs, (), told))


def promoted(ctx: Context, job: str, result: Mapping[str, Any]) -> None:
    """The champion of a model changed, by 'promote' or 'rollback'."""
    model, version, replaced = (str(result.get(key, "")) for key in ("model", "version", "replaced"))
    inputs = (Version(f"{model}/{replaced}"),) if replaced else ()
    _tell(ctx, Event(job, f"{model} {version} {replaced}", inputs, (Version(f"{model}/{version}"),), dict(result)))


def _tell(ctx: Context, event: Event) -> None:
    events.emit(event, ctx.settings.events, without_password(ctx.settings.mlflow.tracking_uri))


def _version(version: ModelVersion, parents: tuple[ParentEdge, ...] = (), digest: str = "") -> Version:
    return Version(version.address, digest or version.digest, version.tags.get(FAMILY, ""), parents)


def _parents(parents: tuple[ParentEdge, ...]) -> tuple[Version, ...]:
    return tuple(
        Version(f"{edge.name}/{edge.version}" if edge.name else edge.digest, edge.digest)
        for edge in {edge.digest: edge for edge in parents}.values()
    )
