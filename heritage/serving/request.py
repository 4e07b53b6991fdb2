"""What a client asks: rows as JSON, checked before the model sees them."""

import json
import re
import uuid
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.names import printable

MAX_ID = 128
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*")
_FIELDS = {"instances", "ids"}
_NUMBERS = {int, float, bool}
_NAMES = {int: "number", float: "number", bool: "boolean", str: "text", list: "list", dict: "object"}


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Rows `x` (n, ...), finite, and a prediction id for each, under which a label may come later."""

    x: NDArray[np.float32]
    ids: tuple[str, ...]


def parse(body: bytes, max_rows: int) -> Question:
    """The question in a JSON body `{"instances": [[...], ...], "ids": ["...", ...]}`; ids are drawn where none are
    given. Raises `BadInput` for anything else.
    """
    try:
        asked = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"the body is not JSON ({printable(str(error), 200)}); send an object with instances") from error
    if not isinstance(asked, dict) or "instances" not in asked or not asked.keys() <= _FIELDS:
        found = sorted(map(printable, asked)) if isinstance(asked, dict) else type(asked).__name__
        raise BadInput(f"the body holds {found}; expected an object with 'instances' and optionally 'ids'")
    x = _rows(asked["instances"], max_rows)
    return Question(x, _ids(asked.get("ids"), len(x)))


def _no_number(text: str) -> float:
    raise BadInput(f"the body holds {text}; values must be finite numbers")


def _rows(instances: Any, max_rows: int) -> NDArray[np.float32]:
    if not isinstance(instances, list) or not instances:
        raise BadInput("instances is not a list with at least one row")
    if len(instances) > max_rows:
        raise BadInput(f"{len(instances)} rows in one request; the limit is {max_rows}, send them in several")
    _check_values(instances)
    try:
        with np.errstate(over="ignore"):
            x = np.array(instances, dtype=np.float64).astype(np.float32)
    except (ValueError, OverflowError) as error:
        raise BadInput(
            "instances: the rows differ in shape or hold a number beyond float64; give every row the same nesting and "
            "length, and finite numbers"
        ) from error
    if x.ndim < 2 or not x.size:
        raise BadInput(f"instances: expected lists of numbers, one list a row, found values in shape {list(x.shape)}")
    if not np.isfinite(x).all():
        row = int(np.argwhere(~np.isfinite(x).reshape(len(x), -1).all(axis=1))[0, 0])
        raise BadInput(f"instances: row {row} holds a number beyond float32 or one that is not finite")
    return x


def _check_values(instances: list[Any]) -> None:
    """Raise unless the innermost values are numbers.

    numpy would make room for the longest text in every place: a megabyte of body became gigabytes.
    """
    level = instances
    while (kinds := set(map(type, level))) == {list}:
        level = list(chain.from_iterable(level))
    if not kinds <= _NUMBERS:
        found = ", ".join(sorted(_NAMES.get(kind, "null") for kind in kinds))
        raise BadInput(f"instances: expected lists of numbers, one list a row, found values of type {found}")


def _ids(given: Any, rows: int) -> tuple[str, ...]:
    if given is None:
        drawn = uuid.uuid4().hex
        return tuple(f"{drawn}-{i}" for i in range(rows))
    if not isinstance(given, list) or len(given) != rows:
        found = len(given) if isinstance(given, list) else type(given).__name__
        raise BadInput(f"ids: {found} for {rows} rows; give a list with one id a row, or leave it out")
    for one in given:
        if not isinstance(one, str) or len(one) > MAX_ID or not _ID.fullmatch(one):
            raise BadInput(
                f"ids: '{printable(str(one), 60)}' is not allowed; use 1 to {MAX_ID} ASCII letters, digits, '.', '_', "
                "':', '/' or '-', beginning with a letter or digit"
            )
    if len(set(given)) < rows:
        raise BadInput("ids: one occurs twice in the request; a label could not be joined to its row")
    return tuple(given)
