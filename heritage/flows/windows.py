"""What deployed versions saw: counters and rows in storage, by model, version and window.

    windows/<model>/<version>/<window>/<producer>-<seq>.npz   drift counters (the agent writes them)
    rows/<model>/<version>/<window>/<digest>.npz              rows, where the user keeps them; with y where labelled
    rows/<model>/<version>/<window>/<name>.parquet            the same as a table, put there by others
    chosen/<model>/<version>/<window>/<digest>.npz            labelled rows that were picked for being hard
    predictions/<model>/<version>/<window>/<producer>-<seq>.npz   answers by prediction id (the agent writes them)
    truth/<model>/<version>/<window>/<digest>.npz             labels that came later, by prediction id

A window id sorts by time ('2026-11-22T07'). Objects are written once and never changed; more may come late.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from heritage.drift.predictions import LateLabels
from heritage.drift.tables import rows_of_parquet
from heritage.drift.window import Window
from heritage.errors import BadInput, NotFound
from heritage.flows.context import Context
from heritage.names import check_name, printable
from heritage.records import ModelVersion
from heritage.rows import Rows, concatenate, from_npz, to_npz

_TIME = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:T(\d{2})(?:-?(\d{2}))?)?")


def prefix(kind: str, version: ModelVersion, window: str = "") -> str:
    """Key prefix of a version's objects of one kind ('windows', 'rows', 'verdicts', ...), or of one window of it."""
    base = f"{kind}/{check_name(version.name)}/{version.version}/"
    return base + (f"{check_name(window, 'window')}/" if window else "")


def keep_rows(ctx: Context, version: ModelVersion, window: str, rows: Rows, kind: str = "rows") -> str:
    """Store a batch of rows of a window and return its key; the same batch twice is one object.

    `kind` 'chosen' is for labelled rows that are no fair sample of the traffic: they tune, and judge nothing.
    """
    key = f"{prefix(kind, version, window)}{rows.digest[:32]}.npz"
    ctx.store.create(key, to_npz(rows))
    return key


def keep_counts(ctx: Context, version: ModelVersion, window_id: str, counts: Window, producer: str, number: int) -> str:
    """Store what `producer` counted as its flush `number` of a window; the same flush twice counts once."""
    key = f"{prefix('windows', version, window_id)}{check_name(producer, 'producer')}-{number:06d}.npz"
    ctx.store.create(key, counts.to_bytes())
    return key


def listed(ctx: Context, version: ModelVersion, kind: str = "windows") -> list[str]:
    """Ids of the windows that hold objects of `kind`, oldest first."""
    base = prefix(kind, version)
    return sorted({key.removeprefix(base).split("/")[0] for key in ctx.store.list(base)})


def check_known(ctx: Context, version: ModelVersion, window: str) -> None:
    """Raise `NotFound` for a window of which nothing was counted, kept or judged, naming the newest that there are."""
    known = sorted({w for kind in ("windows", "rows", "verdicts") for w in listed(ctx, version, kind)})
    if window not in known:
        there = ", ".join(known[-3:]) or "none"
        raise NotFound(f"{version.address}: nothing is known of window '{printable(window)}'; the newest are {there}")


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows of some windows, None where there are none: a fair sample with labels, those picked for being hard (with
    labels too), and the inputs of all the others.
    """

    labelled: Rows | None
    chosen: Rows | None
    unlabelled: Rows | None

    @property
    def inputs(self) -> Rows | None:
        """All rows without their labels."""
        parts = [Rows(r.x, ids=r.ids) for r in (self.unlabelled, self.labelled, self.chosen) if r is not None]
        return concatenate(parts) if parts else None


def read_rows(ctx: Context, version: ModelVersion, windows: list[str], late: bool = True) -> Kept:
    """All rows kept for `windows`; a row that came twice (same input) counts once, and its label wins.

    The order depends on the rows alone, not on the order in which they came. With `late`, a label that came later by
    prediction id is its row's label too.
    """
    batches = _batches(ctx, version, "rows", windows)
    if late and any(batch.y is None and batch.ids is not None for batch in batches):
        came = [part for window in windows for part in late_labels(ctx, version, window)]
        truth = {id_: int(y) for part in came for id_, y in zip(part.ids.tolist(), part.labels, strict=True)}
        batches = [part for batch in batches for part in _with_labels(batch, truth)]
    labelled = _once([b for b in batches if b.y is not None], set())
    known = _digests(labelled)
    chosen = _once(_batches(ctx, version, "chosen", windows), known)
    return Kept(labelled, chosen, _once([b for b in batches if b.y is None], known | _digests(chosen)))


def late_labels(ctx: Context, version: ModelVersion, window: str) -> list[LateLabels]:
    """Labels that came later for a window's predictions, in the order in which they came."""
    keys = ctx.store.list(prefix("truth", version, window))
    came = [(LateLabels.from_bytes(ctx.store.get(key), key), key) for key in keys]
    return [part for part, key in sorted(came, key=lambda pair: (pair[0].arrived, pair[1]))]


def _with_labels(batch: Rows, truth: Mapping[str, int]) -> list[Rows]:
    """The rows of a batch that `truth` labels by id, and the others."""
    if batch.y is not None or batch.ids is None:
        return [batch]
    known = np.array([id_ in truth for id_ in batch.ids.tolist()], dtype=bool)
    some = batch.take(known)
    labels = np.array([truth[id_] for id_ in batch.ids[known].tolist()], np.int64)
    return [part for part in (Rows(some.x, labels, some.ids), batch.take(~known)) if len(part)]


def _batches(ctx: Context, version: ModelVersion, kind: str, windows: list[str]) -> list[Rows]:
    keys = sorted(key for window in windows for key in ctx.store.list(prefix(kind, version, window)))
    batches = [(rows_of_parquet if key.endswith(".parquet") else from_npz)(ctx.store.get(key), key) for key in keys]
    for key, batch in zip(keys, batches, strict=True):
        mine, usual = list(batch.x.shape[1:]), list(batches[0].x.shape[1:])
        if mine != usual:
            raise BadInput(f"{key}: its rows have shape {mine}, the others {usual}; remove the objects that do not fit")
    return batches


def _digests(rows: Rows | None) -> set[str]:
    return set() if rows is None else set(rows.row_digests())


def _once(batches: list[Rows], known: set[str]) -> Rows | None:
    if not batches:
        return None
    rows = concatenate(batches)
    digests = np.array(rows.row_digests())
    _, first = np.unique(digests, return_index=True)  # in order of digest
    index = first[~np.isin(digests[first], list(known))] if known else first
    return rows.take(index) if len(index) else None


def newest_with_rows(ctx: Context, version: ModelVersion) -> str:
    """The newest window that has rows; `NotFound` where none has."""
    windows = listed(ctx, version, "rows")
    if not windows:
        raise NotFound(
            f"{version.address}: no rows are kept under {prefix('rows', version)}; "
            "store rows of the current window there (see 'bring your own model' in the README)"
        )
    return windows[-1]


def start_of(window: str) -> datetime | None:
    """When a window begins whose id is a date, or a date and hour, or minute, in UTC; None for other ids."""
    found = _TIME.fullmatch(window)
    try:
        return datetime(*(int(part) for part in found.groups() if part), tzinfo=UTC) if found else None  # type: ignore[arg-type,misc]
    except ValueError:  # the thirtieth of February
        return None


def is_before(window: str, until: datetime | None) -> bool:
    """Whether the window begins before `until`; True where either is not known."""
    start = start_of(window)
    return until is None or start is None or start < until


def sources_digest(keys: list[str]) -> str:
    """One digest for a set of objects that never change: of their sorted keys."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()
