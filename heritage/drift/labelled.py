"""Tables that hold labels and probabilities beside the inputs: taken apart for profiles and checks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.drift.categorical import level_name
from heritage.drift.columns import output_frame
from heritage.drift.tables import without_zeros
from heritage.errors import BadInput, NotFound
from heritage.names import printable


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """`inputs` without label and probability columns; `outputs` as `columns.output_frame` makes them.

    `probabilities` (n, classes); `labels` (n,): class names, None where the label is not known yet.
    """

    inputs: pd.DataFrame
    outputs: pd.DataFrame | None
    probabilities: NDArray[np.float64] | None
    labels: NDArray[np.object_] | None

    def scored(self, classes: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Probabilities and class indexes of the rows that have both; `BadInput` for a label not among `classes`."""
        if self.probabilities is None or self.labels is None:
            return np.empty((0, len(classes))), np.empty(0, np.int64)
        known = np.array([label is not None for label in self.labels], dtype=bool) & ~np.isnan(self.probabilities).any(
            axis=1
        )
        at = {name: i for i, name in enumerate(classes)}
        for label in self.labels[known]:
            if label not in at:
                raise BadInput(
                    f"label '{printable(label)}' is not among the classes of the reference ({', '.join(classes)}); "
                    "correct it, or fit a profile that has it"
                )
        return self.probabilities[known], np.array([at[label] for label in self.labels[known]], np.int64)


def take_apart(frame: pd.DataFrame, label: str | None, probabilities: Sequence[str]) -> Labelled:
    """`frame` split into inputs, outputs and labels.

    One probability column is that of the second of two classes; more are those of all classes, in the order of their
    names. Raises `NotFound` for a column that is not there and `BadInput` for values that are no probabilities.
    """
    for name in (*probabilities, *([label] if label else [])):
        if name not in frame.columns:
            raise NotFound(f"column '{printable(name)}' is not in the table; correct --label or --probability")
    inputs = frame.drop(columns=[*probabilities, *([label] if label else [])])
    p = _probabilities(frame, probabilities) if probabilities else None
    labels = None if label is None else np.array([_name(v) for v in frame[label]], dtype=object)
    return Labelled(inputs, None if p is None else output_frame(p), p, labels)


def classes_of(labels: NDArray[np.object_], columns: int) -> tuple[str, ...]:
    """Names of the classes in order (numbers by value); `BadInput` unless they fit `columns` probability columns."""
    names = {label for label in labels if label is not None}
    if columns == 1 and names < {"0", "1"}:
        names = {"0", "1"}  # a reference may hold one class only
    if len(names) != max(columns, 2):
        raise BadInput(
            f"the labels have {len(names)} classes, but {columns} probability column(s) were named; "
            "give one column for two classes, or one for each class"
        )
    return tuple(sorted(names, key=_order))


def _order(name: str) -> tuple[float, str]:
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name


def _name(value: object) -> str | None:
    return None if pd.isna(value) else without_zeros(level_name(value))  # type: ignore[call-overload]


def _probabilities(frame: pd.DataFrame, names: Sequence[str]) -> NDArray[np.float64]:
    try:
        p = frame[list(names)].to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise BadInput(f"probability column(s) {', '.join(map(printable, names))} do not hold numbers") from error
    p = np.column_stack([1.0 - p[:, 0], p[:, 0]]) if p.shape[1] == 1 else p
    complete = p[~np.isnan(p).any(axis=1)]
    if ((complete < 0) | (complete > 1)).any():
        raise BadInput(f"probability column(s) {', '.join(map(printable, names))} hold values outside [0, 1]")
    return p
