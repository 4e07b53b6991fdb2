"""Distances of models that are too large to be kept: one look at each value, into linear sketches.

Products of all pairs cost n multiplications a value, a sketch costs one. It is that of fingerprints
(`weights.sketch`), 4,096 buckets a slot; the error of a squared distance is relative to the distance itself.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.models import NotFinite
from heritage.weights.sketch import BLOCK, BLOCK_ROWS, WIDTH, block_signs

if TYPE_CHECKING:
    from heritage.recovery.stack import Floats, Stack

SKETCHED_FROM = 4 * WIDTH
IMMENSE = 1e15

Matrix = NDArray[np.float64]


def sketched_slot(stack: "Stack", k: int, members: Sequence[int]) -> tuple[Matrix, Matrix, Matrix]:
    """Estimated Gram matrix of centred values, exact squared norms, and sums of a vector, of slot k of `members`.

    Sums of matrices tell nothing and are NaN. Raises `NotFinite` for a model with weights that are NaN, infinite or
    immense.
    """
    size, name = stack.slots[k].size, stack.slots[k].name
    signs = [block_signs(name, block) for block in range(-(-size // BLOCK))]
    sketches, norms, sums = np.zeros((len(members), WIDTH)), np.zeros(len(members)), np.zeros(len(members))
    buffer = np.zeros((BLOCK_ROWS, WIDTH), np.float32)
    for row, i in enumerate(members):
        turned, squares, totals = _looked(stack, i, k, signs, buffer)
        if not squares.max() < IMMENSE**2:
            _refuse_immense(stack, i, k)
        sketches[row] = turned[:WIDTH] + turned[WIDTH:]
        # rows of float32, added up in float64: the growth of a norm is a ten thousandth of it
        norms[row] = squares.sum(dtype=np.float64)
        sums[row] = np.nan if stack.slots[k].is_matrix else totals.sum(dtype=np.float64)
    sketches -= sketches.mean(0)
    return sketches @ sketches.T, norms, sums


def _looked(
    stack: "Stack", i: int, k: int, signs: Sequence[tuple["Floats", int]], buffer: "Floats"
) -> tuple[Matrix, "Floats", "Floats"]:
    """One look at slot k of model i, block by block: sketch, squares and, of a vector, sums of rows of WIDTH values.

    Buckets b and WIDTH + b belong together, so that no block has to be cut where it goes round. `buffer` holds a block,
    which stays in a core's cache while it is looked at.
    """
    size, vector, ones = stack.slots[k].size, not stack.slots[k].is_matrix, np.ones(WIDTH, np.float32)
    turned, squares, totals = np.zeros(2 * WIDTH), [], []
    with np.errstate(over="ignore", invalid="ignore"):
        for block, (sign, turn) in enumerate(signs):
            count = min(BLOCK, size - block * BLOCK)
            rows = buffer[: -(-count // WIDTH)]
            flat = rows.reshape(-1)
            stack.read_block(i, k, block * BLOCK, flat[:count])
            flat[count:] = 0.0
            squares.append(np.vecdot(rows, rows))
            if vector:
                totals.append(rows @ ones)
            turned[turn : turn + WIDTH] += np.einsum("ij,ij->j", rows, sign[: len(rows)])
    return turned, np.concatenate(squares), np.concatenate(totals or [np.zeros(0, np.float32)])


def _refuse_immense(stack: "Stack", i: int, k: int) -> None:
    """Raise `NotFinite` if slot k of model i holds such values; many large ones may have large squares as well."""
    values, size = np.empty(BLOCK, np.float32), stack.slots[k].size
    for start in range(0, size, BLOCK):
        part = values[: min(BLOCK, size - start)]
        stack.read_block(i, k, start, part)
        if immense(part[None]).any():
            raise NotFinite(stack.models[i].name, stack.slots[k].name)


def immense(values: "Floats") -> NDArray[np.bool_]:
    """Which rows hold something that is no number, or too large to be squared."""
    return np.asarray(~(np.abs(values) < IMMENSE).all(1))
