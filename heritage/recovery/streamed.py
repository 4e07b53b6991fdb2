"""Distances of models that are too large to be kept: one look at each value, into linear sketches.

Products of all pairs cost n multiplications a value, a sketch costs one. It is that of fingerprints
(`weights.sketch`), 4,096 buckets a slot; the error of a squared distance is relative to the distance itself.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.models import NotFinite
from heritage.weights.sketch import BLOCK, BLOCK_ROWS, WIDTH, block_signs

if TYPE_CHECKING:
    from heritage.recovery.stack import Stack

SKETCHED_FROM = 4 * WIDTH
IMMENSE = 1e15
_READ_ROWS = 2 * BLOCK_ROWS  # at a time: half a megabyte

Floats = NDArray[np.float32]
Matrix = NDArray[np.float64]


def sketched_slot(stack: "Stack", k: int, members: Sequence[int]) -> tuple[Matrix, Matrix, Matrix]:
    """Estimated Gram matrix of centred values, exact squared norms, and sums of a vector, of slot k of `members`.

    Sums of matrices tell nothing and are NaN. Raises `NotFinite` for a model with weights that are NaN, infinite or
    immense.
    """
    size, name = stack.slots[k].size, stack.slots[k].name
    signs = [block_signs(name, block) for block in range(-(-size // BLOCK))]
    sketches, norms, sums = np.zeros((len(members), WIDTH)), np.zeros(len(members)), np.zeros(len(members))
    buffer = np.zeros((_READ_ROWS, WIDTH), np.float32)
    # of rows of WIDTH values: sums of squares and, of a vector, of values
    rows = np.zeros((1 if stack.slots[k].is_matrix else 2, -(-size // WIDTH)), np.float32)
    turned = np.zeros(2 * WIDTH)
    with np.errstate(over="ignore", invalid="ignore"):
        for row, i in enumerate(members):
            turned[:] = 0.0
            _look(stack.reader(i, k), size, signs, buffer, turned, rows)
            if not rows[0].max() < IMMENSE**2:
                _refuse_immense(stack, i, k)
            np.add(turned[:WIDTH], turned[WIDTH:], out=sketches[row])
            # rows of float32, added up in float64: the growth of a norm is a ten thousandth of it
            norms[row] = rows[0].sum(dtype=np.float64)
            sums[row] = rows[1].sum(dtype=np.float64) if len(rows) > 1 else np.nan
    sketches -= sketches.mean(0)
    return sketches @ sketches.T, norms, sums


def _look(
    read: Callable[[int, Floats], None],
    size: int,
    signs: Sequence[tuple[Floats, int]],
    buffer: Floats,
    turned: Matrix,
    sums: Floats,
) -> None:
    """One look at a slot of `size` values: its sketch is added to `turned`, sums of its rows are put into `sums`.

    Buckets b and WIDTH + b belong together, so that no block has to be cut where it goes round. `buffer` holds a few
    blocks, which stay in a core's cache while they are looked at.
    """
    whole = buffer.reshape(-1)
    for begin in range(0, sums.shape[1], _READ_ROWS):
        count = min(whole.size, size - begin * WIDTH)
        rows = buffer[: -(-count // WIDTH)]
        read(begin * WIDTH, whole[:count])
        whole[count : rows.size] = 0.0
        np.vecdot(rows, rows, out=sums[0, begin : begin + len(rows)])
        if len(sums) > 1:
            np.matmul(rows, np.ones(WIDTH, np.float32), out=sums[1, begin : begin + len(rows)])
        for first in range(0, len(rows), BLOCK_ROWS):
            sign, turn = signs[(begin + first) // BLOCK_ROWS]
            part = rows[first : first + BLOCK_ROWS]
            turned[turn : turn + WIDTH] += np.einsum("ij,ij->j", part, sign[: len(part)])


def _refuse_immense(stack: "Stack", i: int, k: int) -> None:
    """Raise `NotFinite` if slot k of model i holds such values; many large ones may have large squares as well."""
    values, size, read = np.empty(BLOCK, np.float32), stack.slots[k].size, stack.reader(i, k)
    for start in range(0, size, BLOCK):
        part = values[: min(BLOCK, size - start)]
        read(start, part)
        if immense(part[None]).any():
            raise NotFinite(stack.models[i].name, stack.slots[k].name)


def immense(values: Floats) -> NDArray[np.bool_]:
    """Which rows hold something that is no number, or too large to be squared."""
    return np.asarray(~(np.abs(values) < IMMENSE).all(1))
