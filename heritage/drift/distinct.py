"""How many different rows there are, from 4,096 small registers that merge by maximum (HyperLogLog).

Rows that are sent twice look like evidence without being any: 50 rows repeated 20 times are not 1,000. The estimate
has a standard error of 1.6 %. Flajolet et al., "HyperLogLog" (2007), with linear counting for few rows.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

REGISTERS = 4096
RELATIVE_ERROR = 1.04 / REGISTERS**0.5

_INDEX_BITS = 12
_ALPHA = 0.7213 / (1 + 1.079 / REGISTERS)


def mix_in(sums: NDArray[np.uint64], position: int, codes: NDArray[np.uint64]) -> None:
    """Add one column's `codes` (n,) to the sums of the rows (n,), in place; `position` tells columns apart."""
    sums += codes * _multiplier(position)


@cache
def _multiplier(position: int) -> np.uint64:
    """An odd number for each column, unrelated to the others': multiples of one another would make rows collide."""
    return np.uint64(int(_mixed(np.array([position + 1], np.uint64) * np.uint64(0x9E3779B97F4A7C15))[0]) | 1)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of splitmix64: every bit of the result depends on every bit of the value."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    return values ^ (values >> np.uint64(31))


def add(registers: NDArray[np.uint8], sums: NDArray[np.uint64]) -> None:
    """Enter rows, by the sums that `mix_in` made, into `registers` in place; equal rows count once."""
    hashes = _mixed(sums)
    where = (hashes >> np.uint64(64 - _INDEX_BITS)).astype(np.int64)
    rest = hashes & np.uint64(2 ** (64 - _INDEX_BITS) - 1)
    # position of the first 1 among the remaining 52 bits; frexp is exact up to 2**53
    _, exponent = np.frexp(rest.astype(np.float64))
    np.maximum.at(registers, where, (64 - _INDEX_BITS - exponent + 1).astype(np.uint8))


def estimate(registers: NDArray[np.uint8]) -> int:
    """Estimated number of different rows."""
    raw = _ALPHA * REGISTERS**2 / float(np.sum(2.0 ** -registers.astype(np.float64)))
    empty = int((registers == 0).sum())
    if raw <= 2.5 * REGISTERS and empty:
        return round(REGISTERS * float(np.log(REGISTERS / empty)))
    return round(raw)
