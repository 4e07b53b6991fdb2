"""Squared distances of all pairs of a family, slot by slot, from centred Gram matrices."""

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.recovery.architecture import Slot
from heritage.recovery.device import product_on
from heritage.recovery.models import NotFinite
from heritage.recovery.stack import Comparable, Floats
from heritage.recovery.streamed import IMMENSE, SKETCHED_FROM, immense, sketched_slot

Matrix = NDArray[np.float64]
MOST_VALUES = 2**29  # of all pairs in all slots, 4 GiB
_BLOCK_BYTES = 2**21
_WORTH_THREADS = 2**26
_MANY = 12  # models for which products cost more than sketches


@dataclass(frozen=True, slots=True, eq=False)
class Distances:
    """What all pairs of n models say, for each of K slots.

    `squared[k, i, j]` is the squared L2 distance; `norms[k, i]` the squared norm; `sums[k, i]` the sum of the values.
    NaN where a model lacks the slot; sums also for matrices of which only sketches were taken.
    """

    slots: tuple[Slot, ...]
    squared: NDArray[np.float64]
    norms: Matrix
    sums: Matrix

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Elements of each slot."""
        return np.array([s.size for s in self.slots], np.float64)


def measure(stack: Comparable, members: Sequence[int], device: str = "cpu", exact: bool | None = None) -> Distances:
    """The distances of `members` of `stack`; every value is read once.

    Not `exact`, distances of large slots come from sketches of them (`streamed`), with a standard error of two in a
    hundred for a slot; norms are exact. None: so for many models that are too large to be kept.

    Values are centred on the family's mean before the product: steps are a thousandth of the norm, and a product of
    uncentred float32 values would lose them. Cost: K slots, n^2 P multiplications, memory of one tile a thread and
    K n^2. `device` may be 'cuda' where torch finds one; else `Misconfigured`. Raises `NotFinite` for a model with
    weights that are NaN, infinite or immense, and `BadInput` where there are more than `MOST_VALUES` distances.
    """
    count = len(stack.slots), len(members)
    if count[0] * count[1] ** 2 > MOST_VALUES:
        raise BadInput(
            f"distances of all pairs of {count[1]} models in {count[0]} tensors are more than {MOST_VALUES} numbers; "
            "recover parts of the family at a time, or compare fewer layers (--layers)"
        )
    squared = np.full((*count, len(members)), np.nan)
    norms, sums = np.full(count, np.nan), np.full(count, np.nan)
    order, multiply = np.asarray(members), product_on(device)
    if exact is None:
        exact = device != "cpu" or len(members) < _MANY
    large = stack.streams and not exact

    def work(k: int) -> None:
        here = np.flatnonzero(stack.present[k, order])
        if not len(here):
            return
        if large and stack.slots[k].size > SKETCHED_FROM:
            gram, norm, total = sketched_slot(stack, k, order[here].tolist())  # type: ignore[arg-type]
        else:
            gram, norm, total = _slot(stack, k, order[here].tolist(), multiply)
        g = np.diag(gram)
        squared[k][np.ix_(here, here)] = np.maximum(g[:, None] + g[None, :] - 2 * gram, 0.0)
        norms[k, here], sums[k, here] = norm, total

    # sketching waits for memory more than for the processor: a second thread saves a tenth of the time and costs a
    # quarter more of the processor's
    multiplied = 0 if large else sum(s.size for s in stack.slots) * len(members)
    _for_each(work, range(len(stack.slots)), multiplied)
    diagonal = np.arange(len(members))
    squared[:, diagonal, diagonal] = np.where(np.isnan(norms), np.nan, 0.0)
    return Distances(stack.slots, squared, norms, sums)


def _for_each(work: Callable[[int], None], items: Iterable[int], multiplied: int) -> None:
    """Do `work` for all items, in threads where many values are multiplied."""
    if multiplied < _WORTH_THREADS:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()


def _slot(
    stack: Comparable, k: int, members: Sequence[int], multiply: Callable[[Floats], Floats]
) -> tuple[Matrix, Matrix, Matrix]:
    """Gram matrix of centred values, squared norms and sums of uncentred values, added up in float64.

    Columns are taken in blocks that stay in a core's cache. The mean and a row of ones go through the same product:
    |x|^2 = |mean|^2 + 2 <mean, x - mean> + |x - mean|^2 keeps the difference of two norms exact.
    """
    n = len(members)
    width = max(64, _BLOCK_BYTES // (4 * (n + 2)))
    scratch = np.empty((n + 2, width), np.float32)
    whole = np.zeros((n + 2, n + 2))
    for _, values in stack.tiles(k, members):
        for start in range(0, values.shape[1], width):
            block = values[:, start : start + width]
            part = scratch[:, : block.shape[1]]
            np.mean(block, axis=0, out=part[n])
            if not np.abs(part[n]).max(initial=0.0) < IMMENSE:  # also where it is NaN
                raise NotFinite(stack.models[members[int(np.argmax(immense(block)))]].name, stack.slots[k].name)
            np.subtract(block, part[n], out=part[:n])
            part[n + 1] = 1.0
            whole += multiply(part)
    gram = whole[:n, :n]
    return gram, whole[n, n] + 2.0 * whole[n, :n] + np.diag(gram), whole[n, n + 1] + whole[n + 1, :n]
