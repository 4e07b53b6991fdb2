"""Batches as a serving process gives them: copied quickly, put together and counted later."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.drift.columns import input_frame, output_frame
from heritage.errors import BadInput
from heritage.rows import Rows

Inputs = NDArray[Any] | pd.DataFrame | Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """A copy of what a model saw and said: `rows` rows of window `window`."""

    window: str
    rows: int
    inputs: Inputs
    outputs: NDArray[Any] | None
    ids: tuple[str, ...]

    @property
    def shape(self) -> tuple[Any, ...]:
        """Batches that agree in this can be put together."""
        outputs = None if self.outputs is None else (self.outputs.shape[1:], self.outputs.dtype)
        if isinstance(self.inputs, np.ndarray):
            return self.window, "array", self.inputs.shape[1:], self.inputs.dtype, outputs
        if isinstance(self.inputs, pd.DataFrame):
            return self.window, "frame", tuple(self.inputs.columns), tuple(self.inputs.dtypes), outputs
        return self.window, "row", tuple(self.inputs), None, outputs


def copied(window: str, inputs: Inputs, outputs: NDArray[Any] | None, ids: Sequence[str]) -> Batch:
    """A batch that later changes of the caller's arrays do not reach; `BadInput` where lengths differ.

    `inputs` is an array (n, ...), a frame, or a mapping with one row; `outputs` (n, classes) are probabilities.
    """
    rows = 1 if isinstance(inputs, Mapping) else len(inputs)
    if (outputs is not None and len(outputs) != rows) or (len(ids) and len(ids) != rows):
        found = None if outputs is None else len(outputs)
        raise BadInput(f"{rows} rows of inputs came with {found} outputs and {len(ids)} ids; give one of each a row")
    own = dict(inputs) if isinstance(inputs, Mapping) else inputs.copy()
    return Batch(window, rows, own, None if outputs is None else np.array(outputs), tuple(ids))


def together(batches: Iterable[Batch]) -> list[list[Batch]]:
    """Batches in order, neighbours that can be put together in one list."""
    return [list(group) for _, group in groupby(batches, key=lambda batch: batch.shape)]


def frames(batches: Sequence[Batch]) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Input and output columns of batches of one shape."""
    first = batches[0]
    outputs = [batch.outputs for batch in batches if batch.outputs is not None]
    said = output_frame(np.concatenate(outputs)) if outputs else None
    if isinstance(first.inputs, np.ndarray):
        return input_frame(np.concatenate([np.asarray(batch.inputs) for batch in batches])), said
    if isinstance(first.inputs, pd.DataFrame):
        return pd.concat([b.inputs for b in batches if isinstance(b.inputs, pd.DataFrame)], ignore_index=True), said
    return pd.DataFrame([batch.inputs for batch in batches]), said


def predictions(batches: Iterable[Batch]) -> tuple[list[str], list[NDArray[np.float32]]]:
    """Ids and probabilities of the batches that have both."""
    logged = [batch for batch in batches if batch.ids and batch.outputs is not None]
    ids = [id_ for batch in logged for id_ in batch.ids]
    return ids, [np.asarray(batch.outputs, np.float32) for batch in logged]


def rows_of(batches: Sequence[Batch]) -> Rows | None:
    """The inputs of batches of one shape with their ids, where all have some; None for frames and rows by name."""
    arrays = [batch.inputs for batch in batches if isinstance(batch.inputs, np.ndarray)]
    if len(arrays) < len(batches):
        return None
    named = all(batch.ids for batch in batches)
    ids = np.array([id_ for batch in batches for id_ in batch.ids], np.str_) if named else None
    return Rows(np.concatenate(arrays), ids=ids)
