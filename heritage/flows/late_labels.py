"""Labels that arrive after the prediction: taken in by prediction id, joined to what the model answered."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.drift import predictions
from heritage.drift.predictions import LateLabels
from heritage.errors import BadInput
from heritage.flows import windows
from heritage.flows.context import Context
from heritage.names import printable, split_version
from heritage.records import ModelVersion

SHOWN = 5


def take(
    ctx: Context, address: str, ids: Sequence[str], labels: NDArray[np.int64], dry_run: bool = False
) -> dict[str, Any]:
    """Keep class indexes `labels` (n,) for the predictions `ids` of a version, or of all versions of a model ('name').

    The next drift check joins them to the window in which each was predicted. The same labels again change nothing; of
    two labels for one prediction the later one counts. `unknown` ids have no prediction in storage, because it is not
    written yet or was never logged: give them again later. Raises `BadInput` for a label that is no class.
    """
    if len(ids) != len(labels) or labels.dtype.kind not in "iu":
        raise BadInput(
            f"{len(ids)} ids came with {len(labels)} labels of type {labels.dtype}; give a class index an id"
        )
    wanted = {str(id_): int(label) for id_, label in zip(ids, labels.tolist(), strict=True)}
    arrived = ctx.now().isoformat(timespec="microseconds")
    found: list[tuple[ModelVersion, str, LateLabels]] = []
    for version, window in _windows(ctx, address):
        if not wanted:
            break
        known, said = logged(ctx, version, window)
        here = [id_ for id_ in dict.fromkeys(known.tolist()) if id_ in wanted]
        if here:
            part = LateLabels(np.array(here), np.array([wanted.pop(i) for i in here], np.int64), arrived)
            _check_classes(part, said.shape[1])
            found.append((version, window, part))
    for version, window, part in [] if dry_run else found:
        ctx.store.create(f"{windows.prefix('truth', version, window)}{part.digest[:32]}.npz", part.to_bytes())
    return {
        "taken": sum(len(part.ids) for _, _, part in found),
        "windows": {f"{version.address} {window}": len(part.ids) for version, window, part in found},
        "unknown": len(wanted),
        "unknown_ids": [printable(id_) for id_ in list(wanted)[:SHOWN]],
    }


def logged(ctx: Context, version: ModelVersion, window: str) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    """Ids (n,) and probabilities (n, classes) of the predictions in a window, in the order of their logs.

    Answers that are not finite are left out: nobody was given them.
    """
    keys = sorted(ctx.store.list(windows.prefix("predictions", version, window)))
    logs = [predictions.from_bytes(ctx.store.get(key), key) for key in keys]
    if not logs:
        return np.empty(0, np.str_), np.empty((0, 0), np.float32)
    # a log of another number of classes is of rows that no label fits
    classes = max(said.shape[1] for _, said in logs)
    fitting = [log for log in logs if log[1].shape[1] == classes]
    ids, said = np.concatenate([ids for ids, _ in fitting]), np.concatenate([said for _, said in fitting])
    finite = np.isfinite(said).all(axis=1)
    return ids[finite], said[finite]


def joined(
    ctx: Context, version: ModelVersion, window: str, leave_out: set[str]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Probabilities and labels of the window's labelled predictions, in the order in which the labels came, without
    the ids `leave_out`; and the probabilities of all its predictions.
    """
    ids, said = logged(ctx, version, window)
    came = windows.late_labels(ctx, version, window)
    labelled = [id_ for part in came for id_ in part.ids.tolist()]
    labels = np.concatenate([part.labels for part in came]) if came else np.empty(0, np.int64)
    kept = np.array([id_ not in leave_out for id_ in labelled], dtype=bool)
    p, y = predictions.join(ids, said, [i for i, k in zip(labelled, kept, strict=True) if k], labels[kept])
    return p, y, said


def _windows(ctx: Context, address: str) -> Iterator[tuple[ModelVersion, str]]:
    """Windows with logged predictions, newest first."""
    name, part = split_version(address)
    versions = [ctx.registry.version(address)] if part else list(ctx.registry.versions(name=name))
    found = [(window, v) for v in versions for window in windows.listed(ctx, v, "predictions")]
    for window, version in sorted(found, key=lambda pair: (pair[0], int(pair[1].version)), reverse=True):
        yield version, window


def _check_classes(part: LateLabels, classes: int) -> None:
    wrong = np.flatnonzero((part.labels < 0) | (part.labels >= classes))
    if len(wrong):
        raise BadInput(
            f"prediction '{printable(str(part.ids[wrong[0]]), 60)}': label {part.labels[wrong[0]]} is no class; the "
            f"model has classes 0 to {classes - 1}"
        )
