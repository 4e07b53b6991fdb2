"""Strict reading of untrusted JSON: every value is taken by name, type and limit, or refused with its path."""

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from heritage.errors import BadInput, UnsafeName
from heritage.names import printable

MAX_TEXT = 1024
MAX_INTEGER = 2**63 - 1
MAX_ITEMS = 100_000
MAX_DEPTH = 16


def parse_json(data: bytes, where: str, max_bytes: int) -> "Field":
    """The JSON document in `data`; `where` names its file in errors.

    Raises `BadInput` for what is too large, not UTF-8, not JSON, nested too deep, or holds a key twice or NaN.
    """
    if len(data) > max_bytes:
        raise BadInput(f"{where}: has {len(data)} bytes; the limit is {max_bytes}")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise BadInput(f"{where}: not a JSON document in UTF-8 ({printable(str(error))})") from error
    return Field(value, "", where)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"key '{twice}' stands twice in one object")
    return found


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a document: `path` leads to it ('parents[0].confidence'), `where` names the file.

    Each method gives the value in the type asked for, or raises `BadInput` naming file, field and value.
    """

    value: object
    path: str
    where: str

    def wrong(self, problem: str) -> BadInput:
        """The error for this field, for the caller to raise."""
        return BadInput(f"{self.where}: field '{printable(self.path) or '(document)'}' {problem}")

    def record(self, keys: Collection[str]) -> dict[str, "Field"]:
        """The members of an object that holds exactly `keys`."""
        found = self._object()
        if unknown := sorted(map(printable, found.keys() - set(keys))):
            raise self.wrong(f"holds unknown fields {unknown[:5]}; this version knows {sorted(keys)}")
        if missing := sorted(set(keys) - found.keys()):
            raise self.wrong(f"lacks {missing}")
        return {key: self._at(f".{key}" if self.path else key, value) for key, value in found.items()}

    def table(self, max_items: int = MAX_ITEMS) -> dict[str, "Field"]:
        """The members of an object with free keys: texts of 1 to 256 characters without control characters."""
        found = self._object()
        self._fits(len(found), max_items)
        for key in found:
            self._at(f" (key '{printable(key, 40)}')", key).text(256, empty=False)
        return {key: self._at(f"[{key}]", value) for key, value in found.items()}

    def items(self, max_items: int) -> list["Field"]:
        """The members of a list."""
        if not isinstance(self.value, list):
            raise self._not("a list")
        self._fits(len(self.value), max_items)
        return [self._at(f"[{i}]", value) for i, value in enumerate(self.value)]

    def text(self, max_length: int = MAX_TEXT, *, empty: bool = True) -> str:
        """A text without control characters or lone surrogates."""
        if not isinstance(self.value, str):
            raise self._not("a text")
        if len(self.value) > max_length or not (self.value or empty):
            raise self.wrong(f"has {len(self.value)} characters; allowed are {0 if empty else 1} to {max_length}")
        if any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000 for c in self.value):
            raise self.wrong(f"holds control characters: '{printable(self.value)}'")
        return self.value

    def name(self, check: Callable[[str], str], *, empty: bool = False) -> str:
        """A text that `check` (of `heritage.names`) lets pass, or '' where `empty` is allowed."""
        text = self.text()
        try:
            return text if empty and not text else check(text)
        except UnsafeName as error:
            raise self.wrong(f"is refused: {error}") from error

    def integer(self) -> int:
        """A whole number from 0 to 2^63 - 1."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self._not("a whole number")
        if not 0 <= self.value <= MAX_INTEGER:
            raise self.wrong(f"lies outside 0 to {MAX_INTEGER}")
        return self.value

    def number(self) -> float:
        """A finite number."""
        if not isinstance(self.value, int | float) or isinstance(self.value, bool):
            raise self._not("a number")
        # whole numbers first: a larger one has no float
        if (isinstance(self.value, int) and abs(self.value) > MAX_INTEGER) or not math.isfinite(self.value):
            raise self.wrong(f"is {self.value}; leave out what is not a finite number")
        return float(self.value)

    def numbers(self) -> dict[str, float]:
        """An object of finite numbers with free keys."""
        return {key: member.number() for key, member in self.table().items()}

    def json_object(self) -> dict[str, Any]:
        """An object of any JSON values: at most 16 levels and 100,000 values, no NaN."""
        found = self._object()
        seen = 0
        waiting: list[tuple[Field, int]] = [(self, 1)]
        while waiting:
            member, depth = waiting.pop()
            seen += 1
            if depth > MAX_DEPTH or seen > MAX_ITEMS:
                raise self.wrong(f"is nested deeper than {MAX_DEPTH} levels or holds over {MAX_ITEMS} values")
            waiting += [(inner, depth + 1) for inner in member._members()]
        return dict(found)

    def _members(self) -> list["Field"]:
        match self.value:
            case dict():
                return list(self.table().values())
            case list():
                return self.items(MAX_ITEMS)
            case str() if any(0xD800 <= ord(c) < 0xE000 for c in self.value):
                raise self.wrong("holds a lone surrogate, which is no character")
            case float():
                self.number()
            case int() if abs(self.value) > MAX_INTEGER:
                raise self.wrong(f"lies outside -{MAX_INTEGER} to {MAX_INTEGER}")
            case None | bool() | str() | int():
                pass
            case _:
                raise self._not("a JSON value")
        return []

    def _object(self) -> Mapping[str, Any]:
        if not isinstance(self.value, dict) or not all(isinstance(key, str) for key in self.value):
            raise self._not("an object with text keys")
        return self.value

    def _at(self, step: str, value: object) -> "Field":
        return Field(value, self.path + step, self.where)

    def _fits(self, count: int, limit: int) -> None:
        if count > limit:
            raise self.wrong(f"has {count} members; the limit is {limit}")

    def _not(self, wanted: str) -> BadInput:
        return self.wrong(f"is {type(self.value).__name__} {printable(repr(self.value), 40)}; expected {wanted}")
