"""Gower distance between configurations of mixed kinds, with missing values.

    d(x, y) = sum over fields c present in both of w_c * delta_c / sum of those w_c

`seed` mode: delta of numbers is |x - y| / max(|x|, |y|) (0 where both are 0, at most 1), a scale-free log ratio:
1 - exp(-|ln x - ln y|) for x, y > 0. `range` mode: delta is |x - y| / range of the column (Gower 1971, Biometrics
27:857). The two are not interchangeable: on the same rows their means differ by a factor of two. Categorical and
boolean fields differ or not; ordinal ones differ by rank. Every distance lies in [0, 1].
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.configs import gower_numpy
from heritage.configs.fields import Field, Kind
from heritage.configs.gower_numpy import LINEAR, MATCH, RATIO
from heritage.configs.table import ConfigTable
from heritage.errors import BadInput

_ZERO = 1e-18  # stands for 0 where ratios are taken: 0 against 0 gives 0, 0 against anything else 1
_BLOCK = 512
# distances no pair can have, so that a place not filled can be told from one that is
_NOTHING = 8.0


@dataclass(frozen=True, slots=True)
class Gower:
    """How configurations are compared.

    `missing`: 'skip' leaves a field out unless both have it; 'state' counts one-sided absence as a difference and
    two-sided absence as agreement. Pairs that share fewer than `min_comparable` fields have the distance
    `incomparable` (None: 1.0 in seed mode, NaN in range mode).
    """

    mode: Literal["seed", "range"] = "seed"
    weights: Mapping[str, float] = field(default_factory=dict)
    missing: Literal["skip", "state"] = "skip"
    min_comparable: int = 1
    incomparable: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("seed", "range") or self.missing not in ("skip", "state"):
            raise BadInput(
                f"Gower mode '{self.mode}', missing '{self.missing}'; allowed are seed / range, skip / state"
            )
        if self.min_comparable < 1:
            raise BadInput(f"min_comparable is {self.min_comparable}; at least one field must be shared")
        if any(not 0 <= w < np.inf for w in self.weights.values()):
            raise BadInput(f"weights {dict(self.weights)} must be finite and not negative")

    @property
    def nothing(self) -> float:
        """Distance of a pair with too little in common."""
        if self.incomparable is not None:
            return self.incomparable
        return 1.0 if self.mode == "seed" else float("nan")


@dataclass(frozen=True, eq=False)
class Encoded:
    """A table ready for the kernels: `values`, `valid` float64 (fields, n), no NaN; `kinds`, `weights` (fields,)."""

    fields: tuple[Field, ...]
    values: NDArray[np.float64]
    valid: NDArray[np.float64]
    kinds: NDArray[np.int64]
    weights: NDArray[np.float64]
    rule: Gower

    def __len__(self) -> int:
        return int(self.values.shape[1])

    def packed(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Values, their reciprocals where ratios are taken, and presence, as float32."""
        ratio = (self.kinds == RATIO)[:, None]
        values = np.where(ratio & (self.values == 0), _ZERO, self.values)
        inverse = np.divide(1.0, values, out=np.zeros_like(values), where=np.broadcast_to(ratio, values.shape))
        return values.astype(np.float32), inverse.astype(np.float32), self.valid.astype(np.float32)

    def take(self, rows: NDArray[np.int64]) -> "Encoded":
        """The rows at `rows`, on the same scale."""
        return replace(self, values=self.values[:, rows], valid=self.valid[:, rows])


def encode(table: ConfigTable, rule: Gower | None = None, features: Sequence[str] | None = None) -> Encoded:
    """`table` ready for distances over `features` (None: the standard fields it has values for)."""
    rule = rule or Gower()
    fields = table.features(features)
    values = np.zeros((len(fields), len(table)))
    valid = np.zeros_like(values)
    kinds = np.zeros(len(fields), dtype=np.int64)
    for f, each in enumerate(fields):
        column, kinds[f] = _column(table.frame[each.name], each, rule)
        valid[f] = ~np.isnan(column)
        values[f] = np.nan_to_num(column)
    weights = np.array([rule.weights.get(each.name, 1.0) for each in fields])
    if not weights.any():
        raise BadInput(f"all of the fields {[f.name for f in fields]} have weight 0; give one a weight above 0")
    return Encoded(fields, values, valid, kinds, weights, rule)


def _column(column: pd.Series, each: Field, rule: Gower) -> tuple[NDArray[np.float64], int]:
    if each.kind is Kind.NUMERIC:
        raw = np.asarray(column, dtype=np.float64)
        return (raw if rule.mode == "seed" else _scaled(raw)), (RATIO if rule.mode == "seed" else LINEAR)
    if each.kind is Kind.BOOLEAN:
        return np.asarray(column, dtype=np.float64), MATCH
    if each.kind is Kind.ORDINAL:
        ranks = {level: i / max(len(each.levels) - 1, 1) for i, level in enumerate(each.levels)}
        return np.asarray(column.map(ranks), dtype=np.float64), LINEAR
    codes = pd.factorize(column.astype(object), sort=False)[0]
    named: NDArray[np.float64] = np.where(codes < 0, np.nan, codes)
    return named, MATCH


def _scaled(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    present = raw[~np.isnan(raw)]
    if not len(present):
        return raw
    low, high = float(present.min()), float(present.max())
    scaled: NDArray[np.float64] = (raw - low) / ((high - low) or 1.0)
    return scaled


def blocks(
    encoded: Encoded, other: Encoded | None = None, engine: str = "auto"
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(first row, float32 distances of up to 512 rows of `encoded` to all of `other` or of itself), in order."""
    for start in range(0, len(encoded), _BLOCK):
        yield start, matrix(encoded.take(np.arange(start, min(start + _BLOCK, len(encoded)))), other or encoded, engine)


def matrix(
    encoded: Encoded, other: Encoded | None = None, engine: str = "auto", out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """Distances float32 (n, m) of all rows of `encoded` to all of `other` (None: itself); 4 n m bytes.

    `engine`: 'numba', 'numpy' or 'auto' (numba where installed). Adding m models to n known ones costs n m. Both
    sides must be encoded on one scale: rows of one `encode` call, told apart by `take`. `out` is written and returned:
    on a fresh array of this size the system's first touch of its pages takes longer than the distances.
    """
    right = encoded if other is None else other
    distances = np.empty((len(encoded), len(right)), dtype=np.float32) if out is None else out
    kernels, rule = _kernels(engine), _kernel_rule(encoded, encoded.rule.nothing)
    a, b = encoded.packed(), right.packed()
    _shared(len(encoded), lambda rows: kernels.distance_rows(b, a, rule, rows, distances[rows[0] : rows[-1] + 1]))
    return distances


def nearest(
    encoded: Encoded, k: int, other: Encoded | None = None, engine: str = "auto"
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Positions (n, k) and distances (n, k) of each row's nearest rows in `other` (None: itself, without itself).

    Ties go to the lower position; twins of a row are its neighbours at 0, the row itself never is. Pairs with too
    little in common are no neighbours: places that stay free hold -1 and NaN. Raises `BadInput` for k beyond the rows.
    """
    right = encoded if other is None else other
    most = len(right) - (other is None)
    if not 1 <= k <= most:
        raise BadInput(f"{k} neighbours asked for, but each model has {most} others; choose k from 1 to {most}")
    index = np.full((len(encoded), k), -1, dtype=np.int64)
    distance = np.full((len(encoded), k), _NOTHING, dtype=np.float32)
    kernels, rule = _kernels(engine), _kernel_rule(encoded, _NOTHING)
    a, b = encoded.packed(), right.packed()

    def search(rows: NDArray[np.int64]) -> None:
        part = slice(rows[0], rows[-1] + 1)
        kernels.nearest_rows(b, a, rule, rows, (other is None, index[part], distance[part]))

    _shared(len(encoded), search)
    distance[index < 0] = np.nan
    return index, distance


def pairs(
    encoded: Encoded, i: NDArray[np.int64], j: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance float64 and number of shared fields of each pair (i[e], j[e]); a pair sharing none keeps 0 as count."""
    delta, present = contributions(encoded, i, j)
    weight = present * encoded.weights[:, None]
    total = weight.sum(axis=0)
    shared = present.sum(axis=0).astype(np.int64)
    enough = (shared >= encoded.rule.min_comparable) & (total > 0)
    distance = np.full(len(i), encoded.rule.nothing)
    np.divide((weight * delta).sum(axis=0), total, out=distance, where=enough)
    if encoded.rule.missing == "state":
        shared = (encoded.valid[:, i] * encoded.valid[:, j]).sum(axis=0).astype(np.int64)
    return distance, shared


def contributions(
    encoded: Encoded, i: NDArray[np.int64], j: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """delta and presence, float64 (fields, pairs): what each field says about each pair, and whether it counts."""
    x, y = encoded.values[:, i], encoded.values[:, j]
    both = encoded.valid[:, i] * encoded.valid[:, j]
    kind = encoded.kinds[:, None]
    largest = np.maximum(np.abs(x), np.abs(y))
    ratio = np.divide(np.abs(x - y), largest, out=np.zeros_like(x), where=largest > 0)
    delta = np.where(kind == RATIO, np.minimum(ratio, 1.0), np.where(kind == LINEAR, np.abs(x - y), x != y))
    if encoded.rule.missing == "skip":
        return delta * both, both
    one_sided = encoded.valid[:, i] != encoded.valid[:, j]
    return delta * both + one_sided, np.ones_like(both)


def explain(encoded: Encoded, i: int, j: int) -> pd.DataFrame:
    """Field by field why rows i and j are apart: field, delta, weight, share of the distance; largest share first."""
    delta, present = contributions(encoded, np.array([i]), np.array([j]))
    part = delta[:, 0] * present[:, 0] * encoded.weights
    total = float((present[:, 0] * encoded.weights).sum())
    shown = pd.DataFrame({
        "field": [f.name for f in encoded.fields],
        "delta": np.where(present[:, 0] > 0, delta[:, 0], np.nan),
        "weight": encoded.weights,
        "contribution": part / total if total > 0 else np.full(len(part), np.nan),
    })  # fmt: skip
    return shown.sort_values("contribution", ascending=False, kind="stable", ignore_index=True)


def _kernels(engine: str) -> ModuleType:
    """The module of kernels for `engine`; raises `BadInput` where numba is demanded and absent."""
    if engine not in ("auto", "numba", "numpy"):
        raise BadInput(f"engine '{engine}' is not known; choose auto, numba or numpy")
    if engine == "numpy":
        return gower_numpy
    try:
        from heritage.configs import kernels  # numba takes half a second to import
    except ImportError as error:
        if engine == "numba":
            raise BadInput(f"engine numba is not installed ({error}); install numba or choose numpy") from error
        return gower_numpy
    return kernels


def _kernel_rule(encoded: Encoded, nothing: float) -> gower_numpy.Rule:
    state, least = np.float32(encoded.rule.missing == "state"), np.float32(encoded.rule.min_comparable)
    return encoded.kinds, encoded.weights.astype(np.float32), state, least, np.float32(nothing)


def _shared(n: int, work: Callable[[NDArray[np.int64]], None]) -> None:
    """Do `work` on consecutive ranges of 0..n-1, shared among the processor's cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ranges = [np.arange(s, min(s + _BLOCK, n)) for s in range(0, n, _BLOCK)]
    with ThreadPoolExecutor(max_workers=cores) as pool:
        list(pool.map(work, ranges))
