"""One refresh of the catalogue: what changed in MLflow and storage since the last one, and nothing else, is read."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from heritage.api import counts
from heritage.api.catalogue import Catalogue, Key, card_of
from heritage.drift.verdict import Verdict
from heritage.errors import BadInput, NotFound, UnsafeName
from heritage.flows import judgements, plans
from heritage.flows.context import Context
from heritage.names import check_digest
from heritage.records import ModelVersion

_READERS = 8
_BATCH = 100
_CARDS = 5_000
DETAILS_S = 2.0  # after that long, what else there is to read waits for the next refresh
REFRESHED_AT = "refreshed_at"


def refresh(ctx: Context, catalogue: Catalogue, details_s: float = DETAILS_S) -> int:
    """Make `catalogue` tell what the registry tells now; gives the number of versions that changed.

    All versions are listed with their tags (0.3 ms each through the server), and what those tell is there at once.
    Then manifests and verdicts are read, for about `details_s` seconds, where the tags that point to them changed.
    What was written before an outage stays.
    """
    started = ctx.now()
    known = catalogue.stamps()
    versions = list(ctx.registry.versions())
    gone = known.keys() - {key_of(version) for version in versions}
    catalogue.forget(gone)
    touched = [version for version in versions if known.get(key_of(version)) != card_of(version).stamp]
    for i in range(0, len(touched), _CARDS):
        catalogue.put(touched[i : i + _CARDS])
    new = bool(touched or gone or not catalogue.noted(REFRESHED_AT))
    if new:
        _note(ctx, catalogue, started)
    read = _read_details(ctx, catalogue, versions, time.monotonic() + details_s)
    _refresh_repairs(ctx, catalogue)
    if new or read:
        counts.keep(catalogue, plans.current(ctx).get("quality"))
    catalogue.note(REFRESHED_AT, started.isoformat())
    return len(touched) + len(gone)


def key_of(version: ModelVersion) -> Key:
    """Name and number."""
    return version.name, int(version.version)


def _note(ctx: Context, catalogue: Catalogue, at: datetime) -> None:
    """From here on whoever asks is answered from what the tags told."""
    counts.keep(catalogue, plans.current(ctx).get("quality"))
    catalogue.note(REFRESHED_AT, at.isoformat())


def _read_details(ctx: Context, catalogue: Catalogue, versions: Sequence[ModelVersion], until_s: float) -> int:
    """Read verdicts and manifests that are due; how many. All versions of a content are read at once."""
    by_key = {key_of(version): version for version in versions}
    by_digest: dict[str, list[ModelVersion]] = {}
    for version in versions:
        by_digest.setdefault(version.digest, []).append(version)
    read = 0
    while (due := catalogue.unjudged(_BATCH)) and (not read or time.monotonic() < until_s):
        wanted = {(name, number): (by_key[name, number], window) for name, number, window in due}
        catalogue.judge(_verdicts(ctx, wanted))
        read += len(due)
    while (digests := catalogue.unread(_BATCH)) and (not read or time.monotonic() < until_s):
        catalogue.confirm(ctx.registry.entries([version for digest in digests for version in by_digest[digest]]))
        read += len(digests)
    return read


def _verdicts(ctx: Context, due: dict[Key, tuple[ModelVersion, str]]) -> dict[Key, dict[str, Any]]:
    with ThreadPoolExecutor(_READERS, "heritage-verdicts") as pool:
        found = pool.map(lambda each: verdict_in_short(ctx, *each), due.values())
        return dict(zip(due, found, strict=True))


def verdict_in_short(ctx: Context, version: ModelVersion, window: str) -> dict[str, Any]:
    """The stored verdict on a window, without its columns' figures; {} where it is not there or is no verdict."""
    try:
        record = json.loads(ctx.store.get(judgements.verdict_key(version, window)))
        return short(Verdict.from_record(record["verdict"], "verdict"))
    except (NotFound, BadInput, ValueError, KeyError, TypeError):
        return {}


def short(verdict: Verdict) -> dict[str, Any]:
    """A verdict as the timeline shows it."""
    performance = verdict.performance
    current = None if performance is None else performance.current
    return {
        "window": verdict.window,
        "status": verdict.status,
        "rows": verdict.rows,
        "effect": verdict.effect,
        "moved": list(verdict.moved),
        "muted": verdict.muted,
        "columns": list(verdict.drifted_columns),
        "accuracy": None if current is None else current.accuracy,
    }


def _refresh_repairs(ctx: Context, catalogue: Catalogue) -> None:
    """Decisions never change once they are stored, so only new ones are read."""
    end = "/decision.json"
    plans = {key.split("/")[1] for key in ctx.store.list("repairs/") if key.endswith(end)}
    new = sorted(plan for plan in plans - catalogue.plans() if _is_digest(plan))
    for i in range(0, len(new), _BATCH):
        batch = new[i : i + _BATCH]
        with ThreadPoolExecutor(_READERS, "heritage-repairs") as pool:
            found = list(pool.map(lambda plan: ctx.store.get(f"repairs/{plan}{end}"), batch))
        catalogue.put_repairs({plan: _record(data) for plan, data in zip(batch, found, strict=True)})


def _record(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_digest(text: str) -> bool:
    try:
        return bool(check_digest(text))
    except UnsafeName:
        return False
