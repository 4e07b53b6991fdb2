"""Distances of models that are too large to be kept: one look at each value, into linear sketches.

Products of all pairs cost n multiplications a value, a sketch costs one. It is that of fingerprints
(`weights.sketch`), 4,096 buckets a slot; the error of a squared distance is relative to the distance itself.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.models import NotFinite
from heritage.weights.sketch import BLOCK, WIDTH, add_block

if TYPE_CHECKING:
    from heritage.recovery.stack import Floats, Stack

SKETCHED_FROM = 4 * WIDTH
IMMENSE = 1e15
_READ = 4 * BLOCK  # values at a time; they stay in a core's cache

Matrix = NDArray[np.float64]


def sketched_slot(stack: "Stack", k: int, members: Sequence[int]) -> tuple[Matrix, Matrix, Matrix]:
    """Estimated Gram matrix of centred values, exact squared norms and sums, of slot k of `members`.

    Raises `NotFinite` for a model with weights that are NaN, infinite or immense.
    """
    sketches, norms, sums = np.zeros((len(members), WIDTH)), np.zeros(len(members)), np.zeros(len(members))
    size, name = stack.slots[k].size, stack.slots[k].name
    buffer, ones = np.zeros((_READ // WIDTH, WIDTH), np.float32), np.ones(WIDTH, np.float32)
    flat = buffer.reshape(-1)
    for row, i in enumerate(members):
        for start in range(0, size, _READ):
            count = min(_READ, size - start)
            used = -(-count // WIDTH)
            stack.read_block(i, k, start, flat[:count])
            flat[count : used * WIDTH] = 0.0
            # rows of float32, added up in float64: the growth of a norm is a ten thousandth of it
            with np.errstate(over="ignore", invalid="ignore"):
                squares = np.vecdot(buffer[:used], buffer[:used])
            if not squares.max() < IMMENSE**2 and immense(buffer[:used]).any():
                raise NotFinite(stack.models[i].name, name)
            norms[row] += squares.sum(dtype=np.float64)
            sums[row] += np.vecdot(buffer[:used], ones).sum(dtype=np.float64)
            for begin in range(0, count, BLOCK):
                part = buffer[begin // WIDTH : begin // WIDTH + BLOCK // WIDTH]
                here = min(BLOCK, count - begin)
                add_block(sketches[row], part[: -(-here // WIDTH)], here, name, (start + begin) // BLOCK)
    sketches -= sketches.mean(0)
    return sketches @ sketches.T, norms, sums


def immense(values: "Floats") -> NDArray[np.bool_]:
    """Which rows hold something that is no number, or too large to be squared."""
    return np.asarray(~(np.abs(values) < IMMENSE).all(1))
