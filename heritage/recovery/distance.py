"""Squared distances of all pairs of a family, slot by slot, from centred Gram matrices."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.architecture import Slot
from heritage.recovery.models import NotFinite
from heritage.recovery.stack import Comparable, Floats

Matrix = NDArray[np.float64]
_IMMENSE = 1e15


@dataclass(frozen=True, slots=True, eq=False)
class Distances:
    """What all pairs of n models say, for each of K slots.

    `squared[k, i, j]` is the squared L2 distance; `norms[k, i]` the squared norm; `sums[k, i]` the sum of the values.
    NaN where a model lacks the slot.
    """

    slots: tuple[Slot, ...]
    squared: NDArray[np.float64]
    norms: Matrix
    sums: Matrix

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Elements of each slot."""
        return np.array([s.size for s in self.slots], np.float64)


def measure(stack: Comparable, members: Sequence[int]) -> Distances:
    """The distances of `members` of `stack`; every value is read once.

    Values are centred on the family's mean before the product: steps are a thousandth of the norm, and a product of
    uncentred float32 values would lose them. Cost: K slots, n^2 P multiplications, memory of one tile and K n^2.
    Raises `NotFinite` for a model with weights that are NaN, infinite or immense.
    """
    count = len(stack.slots), len(members)
    squared = np.full((*count, len(members)), np.nan)
    norms, sums = np.full(count, np.nan), np.full(count, np.nan)
    order = np.asarray(members)
    for k in range(len(stack.slots)):
        here = np.flatnonzero(stack.present[k, order])
        if len(here):
            gram, norm, total = _slot(stack, k, order[here].tolist())
            g = np.diag(gram)
            squared[k][np.ix_(here, here)] = np.maximum(g[:, None] + g[None, :] - 2 * gram, 0.0)
            norms[k, here], sums[k, here] = norm, total
    diagonal = np.arange(len(members))
    squared[:, diagonal, diagonal] = np.where(np.isnan(norms), np.nan, 0.0)
    return Distances(stack.slots, squared, norms, sums)


def _slot(stack: Comparable, k: int, members: Sequence[int]) -> tuple[Matrix, Matrix, Matrix]:
    """Gram matrix of centred values, squared norms and sums of uncentred values, added up in float64."""
    n = len(members)
    gram, norm, total = np.zeros((n, n)), np.zeros(n), np.zeros(n)
    for _, values in stack.tiles(k, members):
        mean = values.mean(0)
        if not np.abs(mean).max(initial=0.0) < _IMMENSE:  # also where it is NaN
            raise NotFinite(stack.models[members[int(np.argmax(_immense(values)))]].name, stack.slots[k].name)
        part = values - mean
        gram += part @ part.T
        # |x|^2 = |mean|^2 + 2 <mean, x - mean> + |x - mean|^2 keeps the difference of two norms exact
        norm += float(np.dot(mean, mean.astype(np.float64))) + 2.0 * (part @ mean)
        total += float(mean.sum(dtype=np.float64)) + part.sum(1, dtype=np.float64)
    return gram, norm + np.diag(gram), total


def _immense(values: Floats) -> NDArray[np.bool_]:
    """Which rows hold something that is no number, or too large to be squared."""
    return np.asarray(~(np.abs(values) < _IMMENSE).all(1))
