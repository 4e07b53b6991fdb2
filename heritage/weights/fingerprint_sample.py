"""The values that a fingerprint keeps as they are: short stretches of some rows of every large matrix.

Sketches tell how far models are apart; only values tell what happened to single entries: which rows decay alone has
touched, what pruning left, whose entries a merge took. Rows are those of a fixed sequence for the tensor's name, so
a model that keeps fewer of them keeps a part of what another one keeps.
"""

import hashlib
import re
from collections.abc import Sequence
from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

from heritage.weights.dtypes import BITS

SAMPLE_BUDGET = 3400  # values of all tensors together, twice as many in types of 16 bits
SEGMENT = 16  # neighbours of one row: their signs agree by chance in one of thirty thousand rows
_EMBEDDING = re.compile(r"embed|wte|wpe")
_ADAPTED = re.compile(r"query|value|q_proj|v_proj|qkv|c_attn")
_ROWS = 20  # of one matrix, where there are enough
_GOLDEN = (sqrt(5) - 1) / 2


def segments(names: Sequence[str], shapes: Sequence[tuple[int, ...]], wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of rows to keep a stretch of, int64 of shape (T,); 0 where not `wanted`, and for vectors.

    `names` are in ascending order. Half goes to embeddings, whose rows of rare tokens get no gradient; the other half
    to a few matrices only, so that the stretches of one show the rank of a difference: those that adapters are for,
    spread over the layers, then the largest.
    """
    sizes = [prod(s) if w and len(s) > 1 else 0 for s, w in zip(shapes, wanted.tolist(), strict=True)]
    matrices = [i for i, size in enumerate(sizes) if size]
    embeddings = [i for i in matrices if _EMBEDDING.search(names[i])]
    others = [i for i in matrices if i not in embeddings]
    count = np.zeros(len(names), np.int64)
    left = SAMPLE_BUDGET // SEGMENT
    if embeddings:
        left = left // 2 if others else left
        rows = np.array([shapes[i][0] for i in embeddings], float)
        count[embeddings] = np.minimum(np.maximum(1, left * rows / rows.sum()), rows)
    most = max(1, left // _ROWS)
    adapted = _spread([i for i in others if _ADAPTED.search(names[i])], most)
    largest = sorted((i for i in others if i not in adapted), key=lambda i: -sizes[i])
    for place, i in enumerate(chosen := adapted + largest[: most - len(adapted)]):
        share = left // (len(chosen) - place)
        count[i] = min(share, shapes[i][0])
        left -= int(count[i])
    return count


def _spread(items: list[int], count: int) -> list[int]:
    """At most `count` of `items`, evenly spread."""
    if len(items) <= count:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


def places(name: str, dtype: str, shape: tuple[int, ...], count: int) -> NDArray[np.int64]:
    """Flat places of the stretches of `count` rows, ascending, int64 of shape (rows, stretch).

    Types of 16 bits or fewer have stretches twice as long: small steps are lost in their rounding, and they pack
    better. The places for a smaller count and a shorter stretch are among those for more.
    """
    if not count:
        return np.zeros((0, 0), np.int64)
    rows, columns = shape[0], prod(shape[1:])
    longest = min(2 * SEGMENT, columns)
    width = longest if BITS[dtype] <= 16 else min(SEGMENT, columns)
    raw = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    start = int.from_bytes(raw[8:12], "little") % (columns - longest + 1)
    first = int.from_bytes(raw[12:16], "little") / 2**32
    chosen = np.unique(((first + np.arange(count) * _GOLDEN) % 1.0 * rows).astype(np.int64))
    if count >= rows:
        chosen = np.arange(rows)
    return np.asarray(chosen[:, None] * columns + start + np.arange(width))
