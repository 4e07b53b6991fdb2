"""A few thousand values of every model, the same places in each: what families and proofs are looked for in."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.stack import Comparable

BUDGET = 8192
_RUN = 64
_LEAST = 64


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """`values[i, s]`, float32, NaN where model i lacks the slot; slot k holds columns `bounds[k]` to `bounds[k+1]`."""

    values: NDArray[np.float32]
    bounds: NDArray[np.int64]

    def columns(self, k: int) -> slice:
        """The columns of slot k."""
        return slice(int(self.bounds[k]), int(self.bounds[k + 1]))

    @property
    def slot_of(self) -> NDArray[np.int64]:
        """The slot of each column."""
        return np.repeat(np.arange(len(self.bounds) - 1), np.diff(self.bounds))


def places(size: int, count: int) -> NDArray[np.int64]:
    """At most `count` places in a tensor of `size` elements: runs of neighbours, evenly spread."""
    if count >= size:
        return np.arange(size)
    runs = max(1, count // _RUN)
    starts = np.linspace(0, size - min(_RUN, size), runs).astype(np.int64)
    return np.unique((starts[:, None] + np.arange(min(_RUN, size))).reshape(-1))


def draw(stack: Comparable, budget: int = BUDGET) -> Sample:
    """About `budget` values of each model of `stack`, spread over the slots by their size."""
    total = max(1, sum(s.size for s in stack.slots))
    chosen = [places(s.size, max(_LEAST, budget * s.size // total)) for s in stack.slots]
    bounds = np.concatenate([[0], np.cumsum([len(c) for c in chosen])]).astype(np.int64)
    values = np.full((len(stack.models), int(bounds[-1])), np.nan, np.float32)
    for k, where in enumerate(chosen):
        here = np.flatnonzero(stack.present[k])
        values[here, bounds[k] : bounds[k + 1]] = stack.picked(k, here.tolist(), where)
    return Sample(values, bounds)
