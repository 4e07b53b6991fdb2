"""What a model answered, by prediction id: kept so that labels which arrive later can be joined to it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.drift import npz
from heritage.errors import BadInput

LABELS = "heritage late labels"
FORMAT = "heritage prediction log"
VERSION = 1


def to_bytes(ids: NDArray[np.str_], probabilities: NDArray[np.float32]) -> bytes:
    """A log of prediction ids (n,) and probabilities (n, classes) as an npz file; equal logs give equal bytes."""
    return npz.pack(FORMAT, VERSION, {}, {"ids": ids, "probabilities": probabilities})


def from_bytes(data: bytes, where: str) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    """Ids and probabilities of a log; `BadInput` naming `where` for anything else."""
    _, arrays = npz.unpack(data, FORMAT, VERSION, where)
    ids, probabilities = arrays.get("ids"), arrays.get("probabilities")
    if ids is None or probabilities is None or ids.dtype.kind != "U" or probabilities.dtype != np.float32:
        raise BadInput(f"{where}: lacks ids or probabilities; the file is damaged, leave it out")
    if probabilities.ndim != 2 or ids.shape != (len(probabilities),):
        raise BadInput(
            f"{where}: {ids.shape} ids for probabilities of shape {probabilities.shape}; the file is damaged"
        )
    return ids, probabilities


@dataclass(frozen=True, slots=True, eq=False)
class LateLabels:
    """Class indexes `labels` (n,) of the predictions `ids` (n,); `arrived` sorts by time (ISO 8601 in UTC)."""

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    arrived: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 over ids and labels, in order; not over the time."""
        return hashlib.sha256(json.dumps([self.ids.tolist(), self.labels.tolist()]).encode()).hexdigest()

    def to_bytes(self) -> bytes:
        """As an npz file."""
        return npz.pack(LABELS, VERSION, {"arrived": self.arrived}, {"ids": self.ids, "labels": self.labels})

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "LateLabels":
        """From such a file; `BadInput` naming `where` for anything else."""
        header, arrays = npz.unpack(data, LABELS, VERSION, where)
        ids, labels, arrived = arrays.get("ids"), arrays.get("labels"), header.get("arrived")
        if ids is None or labels is None or ids.dtype.kind != "U" or labels.dtype != np.int64:
            raise BadInput(f"{where}: lacks ids or labels; the file is damaged, give the labels again")
        if ids.ndim != 1 or ids.shape != labels.shape or not isinstance(arrived, str):
            raise BadInput(f"{where}: {ids.shape} ids for {labels.shape} labels; the file is damaged")
        return cls(ids, labels, arrived)


def join(
    ids: NDArray[np.str_], probabilities: NDArray[np.float32], labelled_ids: Sequence[str], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities and labels of the predictions that have a label, in the order of the labels.

    A label without prediction is left out. A prediction logged twice counts once, its last answer; of two labels for
    one prediction the last one counts.
    """
    if len(labelled_ids) != len(labels):
        raise BadInput(f"{len(labelled_ids)} ids came with {len(labels)} labels; give one label an id")
    answers = {str(id_): i for i, id_ in enumerate(ids)}
    last = {str(id_): i for i, id_ in enumerate(labelled_ids)}
    matched = [(answers[id_], i) for id_, i in last.items() if id_ in answers]
    rows = np.array([row for row, _ in matched], np.int64)
    return probabilities[rows], labels[np.array([i for _, i in matched], np.int64)]
