"""The values that a fingerprint keeps as they are: short stretches of rows of embeddings, blocks of some matrices.

Sketches tell how far models are apart; only values tell what happened to single entries: which rows decay alone has
touched, what pruning left, whose entries a merge took, the rank of a step and the directions it shares. Rows are those
of a fixed sequence for the tensor's name, so a model that keeps fewer of them keeps a part of what another one keeps.
"""

import hashlib
import re
from collections.abc import Sequence
from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

from heritage.weights.dtypes import BITS

SAMPLE_BUDGET = 6800  # values of all tensors together, twice as many in types of 16 bits
SEGMENT = 16  # neighbours of one row: their signs agree by chance in one of thirty thousand rows
BLOCK_SIDE = 36  # rows and neighbours of one matrix: ranks of two adapters together, and directions of steps, show
_EMBEDDING = re.compile(r"embed|wte|wpe")
_ADAPTED = re.compile(r"query|value|q_proj|v_proj|qkv|c_attn")
_MOST_ADAPTED = 2
_EMBEDDED = 1600  # of the budget
_GOLDEN = (sqrt(5) - 1) / 2


def segments(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], wanted: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number of rows to keep a stretch of, and how long a stretch is, each int64 of shape (T,).

    Both are 0 where not `wanted`, and for vectors. `names` are in ascending order. A quarter goes to short stretches of
    embeddings, whose rows of rare tokens get no gradient; the rest to blocks of a few matrices: two that adapters are
    for, far apart, then the largest.
    """
    sizes = [prod(s) if w and len(s) > 1 else 0 for s, w in zip(shapes, wanted.tolist(), strict=True)]
    matrices = [i for i, size in enumerate(sizes) if size]
    embeddings = [i for i in matrices if _EMBEDDING.search(names[i])]
    others = [i for i in matrices if i not in embeddings]
    count, spans = np.zeros(len(names), np.int64), np.zeros(len(names), np.int64)
    left = SAMPLE_BUDGET
    if embeddings:
        rows = np.array([shapes[i][0] for i in embeddings], float)
        share = (_EMBEDDED if others else left) // SEGMENT
        count[embeddings] = np.minimum(np.maximum(1, share * rows / rows.sum()), rows)
        spans[embeddings] = SEGMENT
        left -= _EMBEDDED
    adapted = _spread([i for i in others if _ADAPTED.search(names[i])], _MOST_ADAPTED)
    for i in adapted + sorted((i for i in others if i not in adapted), key=lambda i: -sizes[i]):
        width = min(BLOCK_SIDE, sizes[i] // shapes[i][0])
        count[i] = min(BLOCK_SIDE, shapes[i][0], left // width)
        spans[i] = BLOCK_SIDE if count[i] else 0
        left -= int(count[i]) * width
    return count, spans


def _spread(items: list[int], count: int) -> list[int]:
    """At most `count` of `items`, evenly spread."""
    if len(items) <= count:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


def places(name: str, dtype: str, shape: tuple[int, ...], count: int, span: int = SEGMENT) -> NDArray[np.int64]:
    """Flat places of the stretches of `count` rows, ascending, int64 of shape (rows, stretch).

    A stretch has `span` values where the row has as many. Types of 16 bits or fewer have stretches twice as long: small
    steps are lost in their rounding, and they pack better. For one span, the places for a smaller count and a shorter
    stretch are among those for more.
    """
    if not count:
        return np.zeros((0, 0), np.int64)
    rows, columns = shape[0], prod(shape[1:])
    longest = min(2 * span, columns)
    width = longest if BITS[dtype] <= 16 else min(span, columns)
    raw = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    start = int.from_bytes(raw[8:12], "little") % (columns - longest + 1)
    first = int.from_bytes(raw[12:16], "little") / 2**32
    chosen = np.unique(((first + np.arange(count) * _GOLDEN) % 1.0 * rows).astype(np.int64))
    if count >= rows:
        chosen = np.arange(rows)
    return np.asarray(chosen[:, None] * columns + start + np.arange(width))
