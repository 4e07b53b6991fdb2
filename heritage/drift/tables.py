"""Parquet and CSV files as frames: whole for a reference, piece by piece for a window.

CSV has no types: a window's columns are read as the profile's schema says, value by value, so that one stray word makes
one mistyped value and not a column of text.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from heritage.drift.numeric import CHUNK
from heritage.errors import BadInput, NotFound
from heritage.names import printable
from heritage.rows import MAX_BYTES, Rows

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
_WHOLE = re.compile(r"^(-?\d+)\.0+$")
_WORDS = {"true": True, "false": False}


def read_table(path: Path, categorical: Collection[str] = ()) -> pd.DataFrame:
    """A whole file as a frame; of CSV columns, those in `categorical` hold codes and ISO dates become times.

    Raises `NotFound` for no file, `BadInput` for another format, or a damaged or truncated file.
    """
    if _is_parquet(path):
        whole: pd.DataFrame = _readable(path, lambda: _parquet(path).read().to_pandas())
        return whole
    keep = dict.fromkeys(categorical, str)
    frame: pd.DataFrame = _readable(path, lambda: _read_csv(path, dtype=keep, low_memory=False))
    for name in frame.columns:
        if name in categorical:
            frame[name] = frame[name].map(without_zeros, na_action="ignore")
        elif _holds_dates(frame[name]):
            frame[name] = _times(frame[name])
    return frame


def stream_table(path: Path, schema: Mapping[str, str]) -> Iterator[pd.DataFrame]:
    """The file's rows in frames of at most 65,536; CSV columns typed as `schema` says.

    `schema` maps names to kinds; the kind "code" is a categorical column whose levels may be numbers.
    """
    if _is_parquet(path):
        batches = iter(_readable(path, lambda: _parquet(path).iter_batches(batch_size=CHUNK)))
        while (batch := _readable(path, lambda: next(batches, None))) is not None:
            yield batch.to_pandas()
        return
    pieces = _readable(path, lambda: _read_csv(path, dtype=str, chunksize=CHUNK))
    with pieces:
        while (piece := _readable(path, lambda: next(pieces, None))) is not None:
            yield _typed(piece, schema)


def rows_of_parquet(data: bytes, where: str) -> Rows:
    """Rows of a parquet file: the columns `y` (class indexes) and `id` where there are any, all others as numbers.

    `x` has shape (n, columns), in the file's order. `BadInput` naming `where` for a damaged file, for columns that
    hold no numbers, or missing labels, and for more than 4 GiB of values: equal ones take no room in the file.
    """
    file = _readable(where, lambda: _parquet(BytesIO(data)))
    if (size := 8 * file.metadata.num_rows * file.metadata.num_columns) > MAX_BYTES:
        raise BadInput(f"{where}: unpacks to {size} bytes, the limit is {MAX_BYTES}; split it into smaller files")
    frame = _readable(where, lambda: file.read().to_pandas())
    numbers = frame.drop(columns=[name for name in ("y", "id") if name in frame.columns])
    wrong = [str(name) for name in numbers.columns if not types.is_numeric_dtype(numbers[name].dtype)]
    if wrong or not len(numbers.columns):
        raise BadInput(f"{where}: columns {', '.join(map(printable, wrong)) or 'beside y and id'} hold no numbers")
    y = frame["y"] if "y" in frame.columns else None
    if y is not None and (not types.is_integer_dtype(y.dtype) or y.isna().any()):
        raise BadInput(f"{where}: column y holds {y.dtype}, or lacks values; give whole numbers, the class indexes")
    ids = np.array(frame["id"].astype(str), np.str_) if "id" in frame.columns else None
    x = numbers.to_numpy(np.float32, na_value=np.nan)
    return Rows(x, None if y is None else y.to_numpy(np.int64), ids)


def _is_parquet(path: Path) -> bool:
    if not path.exists():
        raise NotFound(f"{path}: no such file")
    if not path.is_file():
        raise BadInput(f"{path}: not a file; give a parquet or CSV file")
    suffix = path.suffix.lower()
    if suffix not in (".parquet", ".pq", ".csv"):
        raise BadInput(f"{path}: '{printable(suffix)}' is neither .parquet nor .csv; convert or rename the file")
    return suffix != ".csv"


def _parquet(path: Path | BytesIO) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path)


def _read_csv(path: Path, **options: Any) -> Any:
    # "round_trip": the same digits give the same number here, in parquet and in `_numbers`
    return pd.read_csv(path, encoding="utf-8", float_precision="round_trip", **options)


def _readable(path: Path | str, read: Callable[[], Any]) -> Any:
    """What `read` returns; `BadInput` where the reader says that the file is damaged."""
    import pyarrow

    try:
        return read()
    except (pyarrow.ArrowException, pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OSError) as error:
        reason = printable(str(error).splitlines()[0] if str(error) else type(error).__name__, 200)
        raise BadInput(f"{path}: not a readable table, damaged or truncated ({reason}); write it again") from error


def _holds_dates(column: "pd.Series[Any]") -> bool:
    present = column.dropna()
    if not len(present) or not types.is_string_dtype(column.dtype):
        return False
    return all(isinstance(v, str) and _DATE.fullmatch(v) for v in present)


def _times(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Texts as times; left as text where some carry a zone and some do not, or a date does not exist."""
    zoned = {bool(re.search(r"(?:Z|[+-]\d{2}:?\d{2})$", text[10:])) for text in column.dropna()}
    times = pd.to_datetime(column, format="ISO8601", utc=zoned == {True}, errors="coerce") if len(zoned) == 1 else None
    return column if times is None or bool(times.isna().ne(column.isna()).any()) else times


def _typed(piece: pd.DataFrame, schema: Mapping[str, str]) -> pd.DataFrame:
    readers: dict[str, Callable[[Any], Any]] = {"boolean": _word, "datetime": _time, "code": without_zeros}
    typed = {}
    for name in piece.columns:
        texts = piece[name]
        kind = schema.get(str(name), "categorical")
        if kind == "numeric":
            typed[name] = _numbers(texts)
        elif kind in readers:
            typed[name] = texts.astype(object).map(readers[kind], na_action="ignore")
        else:
            typed[name] = texts
    return pd.DataFrame(typed, index=piece.index)


def _numbers(texts: "pd.Series[Any]") -> "pd.Series[Any]":
    try:
        return texts.astype(np.float64)
    except ValueError:
        return texts.astype(object).map(_number, na_action="ignore")


def without_zeros(text: str) -> str:
    """'7' for '7.0': whole numbers that passed through a column with missing values; other text as it is."""
    return _WHOLE.sub(r"\1", text)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _word(text: str) -> Any:
    return _WORDS.get(text.lower(), text)


def _time(text: str) -> Any:
    try:
        return pd.Timestamp(text) if _DATE.fullmatch(text) else text
    except ValueError:
        return text
