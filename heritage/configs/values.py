"""Text as it stands in a table turned into canonical values; what cannot be read is told apart from what is missing."""

import json
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.configs.fields import Kind

_MISSING = frozenset(["", "nan", "none", "null", "na", "n/a", "<na>", "nat", "?"])
_TRUE = frozenset(["true", "yes"])
_FALSE = frozenset(["false", "no"])
_WHOLE = re.compile(r"(-?\d+)\.0+")


def text(value: object) -> str | None:
    """Canonical text of one value, None where it is missing: '10000.0' -> '10000', 'torch.float16' -> 'float16'."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, sort_keys=True)
    plain = str(value).strip()
    if plain.lower() in _MISSING:
        return None
    whole = _WHOLE.fullmatch(plain)
    return whole[1] if whole else plain.removeprefix("torch.")


def _number(plain: str) -> float | None:
    try:
        value = float(plain)
    except ValueError:
        return None
    return value if np.isfinite(value) else None


def _flag(plain: str) -> float | None:
    word = plain.lower()
    if word in _TRUE or word == "1":
        return 1.0
    return 0.0 if word in _FALSE or word == "0" else None


def _distinct(column: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    """Code of each row's canonical text (-1: missing) and the distinct texts; text is parsed once a distinct value."""
    codes, raw = pd.factorize(column.astype(object), use_na_sentinel=True)
    texts = [text(value) for value in raw]
    levels = sorted({t for t in texts if t is not None})
    place = {t: i for i, t in enumerate(levels)}
    lookup = np.array([*(-1 if t is None else place[t] for t in texts), -1], dtype=np.int64)
    return lookup[codes], levels


def _read(column: pd.Series, parse: Callable[[str], float | None]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    codes, levels = _distinct(column)
    parsed = [parse(level) for level in levels]
    values = np.array([*(np.nan if v is None else v for v in parsed), np.nan], dtype=np.float64)
    wrong = np.array([*(v is None for v in parsed), False], dtype=np.bool_)
    return values[codes], wrong[codes]


def numbers(column: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Numbers of `column`, NaN where missing, and which entries are text that is no finite number ('False', 'x')."""
    return _read(column, _number)


def flags(column: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """1.0 / 0.0 / NaN of a boolean column ('False' is 0.0), and which entries are no truth value."""
    return _read(column, _flag)


def words(column: pd.Series) -> NDArray[np.object_]:
    """Canonical text of each entry, None where missing."""
    codes, levels = _distinct(column)
    return np.array([*levels, None], dtype=object)[codes]


def infer_kind(column: pd.Series) -> Kind:
    """Kind of a column that no schema lists, judged by all its values, so that the order of rows cannot matter.

    Truth words only: boolean. Nine in ten values numbers: numeric (the rest is reported when the table is read).
    """
    codes, levels = _distinct(column)
    if not levels:
        return Kind.CATEGORICAL
    if all(level.lower() in _TRUE | _FALSE for level in levels):
        return Kind.BOOLEAN
    counts = np.bincount(codes[codes >= 0], minlength=len(levels))
    readable = np.array([_number(level) is not None for level in levels])
    return Kind.NUMERIC if counts[readable].sum() >= 0.9 * counts.sum() else Kind.CATEGORICAL
