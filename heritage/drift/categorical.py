"""Categorical and boolean columns: one cell a level, a cell for unseen levels, hash buckets for rare ones.

With up to 100 levels each has a cell. Beyond that only levels that carry 1 % of the reference have one and the rest
are hashed into 32 buckets: giving the most frequent levels their own cells would favour those that the reference
happened to draw often, and a window without drift would then look drifted.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api import types

from heritage.drift.parts import Counts, Family, Faults, Kind, Part, Tally
from heritage.records import Moments

MAX_LEVELS = 100
OWN_SHARE = 0.01
BUCKETS = 32
OTHER = "other levels "  # and a number: name of a hash bucket
MAX_LEVEL_LENGTH = 200

BOOLEANS = ("false", "true")


@dataclass(frozen=True, slots=True, eq=False)
class CategoricalColumn:
    """A categorical or boolean column of the reference.

    `accepts` is 'text', 'boolean' or 'any': values of another type are counted as mistyped. `levels` have a cell each;
    `buckets` > 0 says that all other levels are hashed, otherwise the last cell counts unseen levels.
    """

    name: str
    family: Family
    kind: Kind
    accepts: str
    levels: tuple[str, ...]
    buckets: int
    faults: Faults
    part: Part
    moments: Moments | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its one part."""
        return (self.part,)

    def count(self, values: "pd.Series[Any]") -> Tally:
        """Counts of a chunk."""
        texts, which, faults = _texts(values, self.accepts)
        cells = _cells_of(texts, self.levels, self.buckets)[which]
        counted = np.bincount(cells[cells >= 0], minlength=cells_needed(self.levels, self.buckets))
        return Tally(counted.astype(np.int64), faults, cells.astype(np.int64).view(np.uint64))

    def record(self) -> dict[str, Any]:
        """Header entry."""
        return {"accepts": self.accepts, "levels": list(self.levels), "buckets": self.buckets}


def cells_needed(levels: tuple[str, ...], buckets: int) -> int:
    """Cells of a column: its levels, then hash buckets, or one for unseen levels."""
    return len(levels) + (buckets or 1)


def fit(name: str, family: Family, values: "pd.Series[Any]", *, any_type: bool) -> CategoricalColumn:
    """The column fitted to the reference; `any_type` where the user declared it categorical."""
    free = any_type or isinstance(values.dtype, pd.CategoricalDtype) or bool(values.isna().all())
    accepts = "any" if free else "text"
    texts, which, _ = _texts(values, accepts)
    counts = np.bincount(which[which >= 0], minlength=len(texts))
    known = dict.fromkeys(sorted(texts), 0) | dict(zip(texts, counts.tolist(), strict=True))
    for level in _declared_levels(values):
        known.setdefault(level, 0)
    if len(known) <= MAX_LEVELS:
        levels, buckets = tuple(sorted(known)), 0
    else:
        enough = OWN_SHARE * max(int(counts.sum()), 1)
        levels, buckets = tuple(sorted(level for level, n in known.items() if n >= enough)), BUCKETS
    return _fitted(
        CategoricalColumn(name, family, Kind.CATEGORICAL, accepts, levels, buckets, Faults(), _EMPTY), values
    )


def fit_boolean(name: str, family: Family, values: "pd.Series[Any]") -> CategoricalColumn:
    """A boolean column fitted to the reference: cells false and true."""
    bare = CategoricalColumn(name, family, Kind.BOOLEAN, "boolean", BOOLEANS, 0, Faults(), _EMPTY)
    return _fitted(bare, values)


def part_of(name: str, levels: tuple[str, ...], buckets: int, counts: Counts) -> Part:
    """The part of a categorical column with these counts."""
    rest = tuple(f"{OTHER}{i + 1}" for i in range(buckets)) or ("unseen",)
    return Part(name, counts, None, levels + rest, len(levels) + buckets)


_NESTED = ()  # stands for any value that is no scalar
_EMPTY = Part("", np.empty(0, np.int64))


def _fitted(bare: CategoricalColumn, values: "pd.Series[Any]") -> CategoricalColumn:
    tally = bare.count(values)
    part = part_of(bare.name, bare.levels, bare.buckets, tally.cells)
    return CategoricalColumn(
        bare.name, bare.family, bare.kind, bare.accepts, bare.levels, bare.buckets, tally.faults, part
    )


def _declared_levels(values: "pd.Series[Any]") -> list[str]:
    """Levels of a pandas categorical, also those that no row has."""
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return []
    return [level_name(level) for level in values.dtype.categories]


def _texts(values: "pd.Series[Any]", accepts: str) -> tuple[list[str], NDArray[np.int64], Faults]:
    """Distinct levels as text, for each row the index of its level (-1: missing, -2: mistyped), and the faults.

    A row's result depends on its own value only, so that any split of the rows counts the same.
    """
    codes, distinct = _distinct(values)
    usable = np.array([_accepted(level, accepts) for level in distinct], dtype=bool)
    texts: dict[str, int] = {}
    place = np.array(
        [texts.setdefault(level_name(v), len(texts)) if ok else -2 for v, ok in zip(distinct, usable, strict=True)]
        + [-1],
        dtype=np.int64,
    )
    which = place[codes]
    faults = Faults(missing=int((which == -1).sum()), mistyped=int((which == -2).sum()))
    # two extra entries let -1 and -2 index a table of cells from its end
    return list(texts), which, faults


def _distinct(values: "pd.Series[Any]") -> tuple[NDArray[np.int64], list[Any]]:
    """Index of each row's value (-1: missing) among the distinct values; 1, 1.0 and True are different."""
    if not types.is_object_dtype(values.dtype) or types.infer_dtype(values, skipna=True) == "string":
        codes, distinct = pd.factorize(values, use_na_sentinel=True)
        return codes.astype(np.int64), list(distinct)
    seen: dict[tuple[type, Any], int] = {}
    found = [_place(value, seen) for value in values]
    return np.array(found, dtype=np.int64), [value for _, value in seen]


def _place(value: Any, seen: dict[tuple[type, Any], int]) -> int:
    if not types.is_scalar(value):
        return seen.setdefault((type(value), _NESTED), len(seen))  # lists and the like cannot be told apart by hash
    return -1 if pd.isna(value) else seen.setdefault((type(value), value), len(seen))


def _accepted(level: Any, accepts: str) -> bool:
    if accepts == "text":
        return isinstance(level, str)
    if accepts == "boolean":
        return bool(types.is_bool(level))
    return bool(types.is_scalar(level))


def level_name(level: Any) -> str:
    """A level's name: whole numbers are written alike whatever their type; long text is cut and its digest added."""
    if types.is_bool(level):
        return BOOLEANS[int(level)]
    text = str(int(level)) if types.is_float(level) and float(level).is_integer() else str(level)
    if len(text) <= MAX_LEVEL_LENGTH:
        return text
    return f"{text[: MAX_LEVEL_LENGTH - 20]}...{_digest(text):016x}"


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _cells_of(texts: list[str], levels: tuple[str, ...], buckets: int) -> NDArray[np.int64]:
    """Cell of each text, and -2, -1 at the end for rows without one."""
    at = {level: i for i, level in enumerate(levels)}
    if buckets:
        found = [at.get(text, len(levels) + _digest(text) % buckets) for text in texts]
    else:
        found = [at.get(text, len(levels)) for text in texts]
    return np.array([*found, -2, -1], dtype=np.int64)


def check_levels(levels: list[Any]) -> tuple[str, ...]:
    """The levels of a stored column; `ValueError` unless they are texts, sorted and different."""
    if not all(isinstance(level, str) for level in levels) or levels != sorted(set(levels)):
        raise ValueError("levels are not sorted or not unique")
    return tuple(levels)
