"""Linear sketches: a few numbers of a tensor from which squared distances between models can be told.

A CountSketch (Charikar, Chen, Farach-Colton 2002): element i, with a pseudo-random sign, is added to bucket
`(i + shift) mod WIDTH`, where the shift changes from block to block and from tensor to tensor. It is linear, so the
sketch of a difference is the difference of sketches, and the relative standard error of a squared distance over w
buckets is about sqrt(2 / w), however small the distance is beside the weights. Element order within a matrix spreads
rows over all buckets and, by the shifts, columns too.

WIDTH is a power of two: a sketch folds into any smaller power of two by adding its parts.
"""

import hashlib
from functools import cache

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput

WIDTH = 4096
BLOCK_ROWS = 16
BLOCK = WIDTH * BLOCK_ROWS  # elements that are summed in float32 before float64 takes over
_TABLE_BLOCKS = 2
_SHIFT_STEP = 1597  # odd, so that the shifts of successive blocks do not meet for WIDTH blocks


@cache
def _signs() -> NDArray[np.float32]:
    """A fixed table of signs, float32 of shape (_TABLE_BLOCKS * BLOCK,); small enough for a core's cache."""
    bits = np.unpackbits(
        np.frombuffer(hashlib.shake_128(b"heritage sketch 1").digest(_TABLE_BLOCKS * BLOCK // 8), "u1")
    )
    return bits.astype(np.float32) * 2 - 1


@cache
def _keys(tensor: str) -> tuple[int, int]:
    """Shift and place in the sign table of a tensor's first block."""
    raw = hashlib.sha256(tensor.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(raw[:4], "little") % WIDTH, int.from_bytes(raw[4:8], "little")


def add_block(total: NDArray[np.float64], rows: NDArray[np.floating], count: int, tensor: str, block: int) -> None:
    """Add block number `block` of `tensor` to its sketch `total`, float64 of shape (WIDTH,).

    `rows` of shape (r, WIDTH), r <= BLOCK_ROWS: the block's `count` elements in order, zeros after the last.
    """
    start, turn = _begin(tensor, block)
    used = min(count, WIDTH)
    signs = _signs()[start : start + rows.size].reshape(rows.shape)
    sums = np.einsum("ij,ij->j", rows[:, :used], signs[:, :used])
    before_wrap = min(used, WIDTH - turn)
    total[turn : turn + before_wrap] += sums[:before_wrap]
    total[: used - before_wrap] += sums[before_wrap:]


def block_signs(tensor: str, block: int) -> tuple[NDArray[np.float32], int]:
    """The signs of block number `block` of `tensor`, (BLOCK_ROWS, WIDTH), and the bucket of its first column."""
    start, turn = _begin(tensor, block)
    return _signs()[start : start + BLOCK].reshape(BLOCK_ROWS, WIDTH), turn


def _begin(tensor: str, block: int) -> tuple[int, int]:
    """Where the signs of a block begin in the table, and the bucket of its first column."""
    shift, place = _keys(tensor)
    # a multiple of 16 keeps the signs on cache lines
    start = (place + block * 40503) % ((_TABLE_BLOCKS - 1) * BLOCK // 16) * 16
    return start, (shift + block * _SHIFT_STEP) % WIDTH


def fold(sketch: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """`sketch` of shape (..., w) in `width` buckets, width <= w, both powers of two."""
    if width < 1 or sketch.shape[-1] % width:
        raise BadInput(
            f"a sketch of {sketch.shape[-1]} buckets does not fold into {width}; take a smaller power of two"
        )
    return np.asarray(sketch.reshape(*sketch.shape[:-1], -1, width).sum(axis=-2))


def widths(sizes: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    """Buckets of each tensor's own sketch, int64 of shape (T,): powers of two (or 0) that add up to `budget` at most.

    Half of the budget goes to all tensors alike, half by their `sizes`, in elements; none gets more than it has use
    for, and such a one (width >= size) is kept without loss.
    """
    if not len(sizes) or not sizes.sum():
        return np.zeros(len(sizes), np.int64)
    share = budget / 2 * (1 / np.count_nonzero(sizes) + sizes / sizes.sum())
    enough = 2 ** np.ceil(np.log2(np.maximum(sizes, 1)))
    fair = 2 ** np.floor(np.log2(np.maximum(share, 1)))
    return np.where((share < 1) | (sizes == 0), 0, np.minimum(np.minimum(fair, enough), WIDTH)).astype(np.int64)


def ones_sketch(tensor: str, size: int, width: int) -> NDArray[np.float64]:
    """The sketch that a tensor of `size` ones would have: subtract its mean times this to centre a sketch."""
    total = np.zeros(WIDTH)
    for block in range(-(-size // BLOCK)):
        count = min(BLOCK, size - block * BLOCK)
        rows = np.zeros(-(-count // WIDTH) * WIDTH)
        rows[:count] = 1
        add_block(total, rows.reshape(-1, WIDTH), count, tensor, block)
    return fold(total, width)
