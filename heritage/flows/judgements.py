"""Verdicts in storage, and which windows are due for one.

    verdicts/<model>/<version>/<window>/verdict.json          the verdict that holds now
    judged/<model>/<version>/<window>/<digest>-<objects>      what it was made of, told by the name alone
    alarms/<model>/<version>/<window>/heard                   a repair was started for it

Finding what is due reads names only. Objects of a window are added and never changed, so a window with fewer of them
than were judged has begun to expire, and keeps its verdict.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from heritage.drift.verdict import Verdict
from heritage.errors import NotFound
from heritage.flows import windows
from heritage.flows.context import Context
from heritage.records import ModelVersion

_LABELS = ("rows", "truth")


@dataclass(frozen=True, slots=True)
class Pending:
    """A window whose objects changed since it was judged (or that never was).

    `counters` are the keys of its drift counters; `labels_from` the windows, itself last, whose labels it is judged
    with; `mark` names all of its objects.
    """

    window: str
    counters: tuple[str, ...]
    labels_from: tuple[str, ...]
    mark: str


def pending(ctx: Context, version: ModelVersion, until: datetime | None = None) -> list[Pending]:
    """Windows to be judged that begin before `until`, oldest first."""
    counters = _by_window(ctx, version, "windows")
    labels = [_by_window(ctx, version, kind) for kind in _LABELS]
    marks = _by_window(ctx, version, "judged")
    span = ctx.settings.drift.for_model(version.name).performance_windows
    names = sorted(counters)
    found = []
    for i, window in enumerate(names):
        used = tuple(names[max(0, i + 1 - span) : i + 1])
        keys = [*counters[window], *(key for kind in labels for name in used for key in kind.get(name, ()))]
        mark = f"{windows.sources_digest(keys)[:32]}-{len(keys)}"
        before = {key.rpartition("/")[2] for key in marks.get(window, ())}
        expired = len(keys) < max((int(name.rpartition("-")[2]) for name in before), default=0)
        if mark not in before and not expired and windows.is_before(window, until):
            found.append(Pending(window, tuple(sorted(counters[window])), used, mark))
    return found


def store(ctx: Context, version: ModelVersion, due: Pending, record: dict[str, Any]) -> None:
    """Keep what was found on a window: its verdict's record and more."""
    ctx.store.put(verdict_key(version, due.window), json.dumps(record, sort_keys=True, allow_nan=False).encode())
    ctx.store.create(f"{windows.prefix('judged', version, due.window)}{due.mark}", b"")


def stored(ctx: Context, version: ModelVersion, window: str) -> dict[str, Any] | None:
    """What was found on a window; None where it was not judged."""
    try:
        found: dict[str, Any] = json.loads(ctx.store.get(verdict_key(version, window)))
    except NotFound:
        return None
    return found


def newest_first(ctx: Context, version: ModelVersion, until: datetime | None = None) -> Iterator[Verdict]:
    """Verdicts on windows that begin before `until`, each read when it is asked for."""
    for window in reversed(windows.listed(ctx, version, "verdicts")):
        if windows.is_before(window, until):
            found = stored(ctx, version, window)
            if found is not None:
                yield Verdict.from_record(found["verdict"], f"verdict on {version.address}, {window}")


def verdicts(ctx: Context, version: ModelVersion) -> list[Verdict]:
    """All verdicts on `version`, oldest window first."""
    return [*newest_first(ctx, version)][::-1]


def verdict_key(version: ModelVersion, window: str) -> str:
    """Where the verdict on a window lies."""
    return f"{windows.prefix('verdicts', version, window)}verdict.json"


def mark_repair_started(ctx: Context, version: ModelVersion, window: str) -> None:
    """Note that the alarm on this window was heard."""
    ctx.store.create(f"{windows.prefix('alarms', version, window)}heard", b"")


def repair_started(ctx: Context, version: ModelVersion, window: str) -> bool:
    """Whether the alarm on this window was heard."""
    return ctx.store.exists(f"{windows.prefix('alarms', version, window)}heard")


def _by_window(ctx: Context, version: ModelVersion, kind: str) -> dict[str, list[str]]:
    base, found = windows.prefix(kind, version), dict[str, list[str]]()
    for key in ctx.store.list(base):
        found.setdefault(key.removeprefix(base).split("/")[0], []).append(key)
    return found
