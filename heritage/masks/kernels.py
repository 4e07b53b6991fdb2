"""Population counts of all pairs, compiled by numba; importing this module needs numba."""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

_F = TypeVar("_F", bound=Callable[..., Any])
_TILE = 64  # features compared at a time: both tiles stay in the second cache


def _compiled(function: _F) -> _F:
    try:
        return numba.njit(function, nogil=True, cache=True)  # type: ignore[no-any-return]
    except RuntimeError:  # no folder to cache in (read-only installation): compiled anew in each process
        return numba.njit(function, nogil=True)  # type: ignore[no-any-return]


def _ones(_: Any, word: Any) -> Any:  # noqa: ARG001 numba matches parameters by their number
    """Set bits of a 64-bit word, as the processor counts them."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


ones = intrinsic(_ones)


@_compiled
def fill_block(words: NDArray[np.uint64], start: int, stop: int, out: NDArray[np.int32]) -> None:
    """Distances of features start..stop to all from `start` on, and their mirror, written to `out`."""
    n, width = words.shape
    for tile in range(start, n, _TILE):
        end = min(tile + _TILE, n)
        for i in range(start, stop):
            for j in range(max(tile, i), end):
                total = np.uint64(0)
                for w in range(width):
                    total += ones(words[i, w] ^ words[j, w])  # type: ignore[call-arg]
                out[i, j] = total
        for j in range(tile, end):
            for i in range(start, min(stop, j + 1)):
                out[j, i] = out[i, j]
