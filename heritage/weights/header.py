"""Strict parser of the header of one safetensors file.

The format: 8 bytes little-endian header length, that many bytes of JSON, then the tensors' bytes without holes
(https://github.com/huggingface/safetensors#format). The reference parser lets pass what must not reach us: a key
given twice with equal ranges, names with path parts or control characters, 100,000 tensors.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from heritage.errors import UnsafeCheckpoint
from heritage.names import check_tensor_name, printable
from heritage.weights.dtypes import BITS
from heritage.weights.limits import Limits

MAX_DIMENSIONS = 32
_MAX_BYTES = 2**62  # beyond any file; keeps every sum below 64 bits
_DAMAGED = "the file is damaged or not safetensors; fetch it again, or convert it with `heritage convert`"
# never fails once it has begun, so it stays linear on hostile text
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a header; `begin` and `end` count bytes from the start of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """Tensors by name, in the order of their bytes, and the file's free-form text (never trusted)."""

    tensors: dict[str, Entry]
    metadata: dict[str, str]


def refuse(where: str, rule: str, remedy: str = _DAMAGED) -> NoReturn:
    """Raise `UnsafeCheckpoint` naming the file, the broken rule and what to do."""
    raise UnsafeCheckpoint(f"{where}: {rule}; {remedy}")


def header_length(prefix: bytes, file_bytes: int, where: str, limits: Limits) -> int:
    """Length in bytes of the header that begins after `prefix`, the first 8 bytes of a file of `file_bytes`."""
    if len(prefix) < 8:
        refuse(where, f"has {file_bytes} bytes, a safetensors file has at least 10")
    length = int.from_bytes(prefix, "little")
    # a sound header of 128, 384, 640... bytes begins like a pickle too, so the length has the first word
    if length > file_bytes - 8 and (prefix[:4] == b"PK\x03\x04" or prefix[:1] == b"\x80"):
        refuse(where, "is a pickle or zip archive, not safetensors", "convert it with `heritage convert`")
    if length > file_bytes - 8:
        refuse(where, f"claims a header of {length} bytes but has only {max(0, file_bytes - 8)} more")
    if length > limits.max_header_bytes:
        refuse(
            where,
            f"has a header of {length} bytes, the limit is {limits.max_header_bytes}",
            "raise HERITAGE_WEIGHTS__MAX_HEADER_BYTES if you trust the file",
        )
    return length


def parse_header(raw: bytes, data_bytes: int, where: str, limits: Limits) -> Header:
    """The header `raw` of a file that holds `data_bytes` after it, or `UnsafeCheckpoint`.

    Checked: strict JSON without repeated keys; limits; names; known types; sizes; ranges that cover the data exactly
    once. Memory is bounded by the limits, whatever the header claims.
    """
    if raw[:1] != b"{":
        refuse(where, "the header is not a JSON object")
    _check_amount(raw, where, limits)
    record = strict_json(raw, where, "the header")
    metadata = _metadata(record.pop("__metadata__", {}), where)
    if len(record) > limits.max_tensors:
        refuse_count(len(record), where, limits)
    entries = {check_tensor_name(name, where): _entry(name, spec, where) for name, spec in record.items()}
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
    _check_cover(ordered, data_bytes, where)
    return Header(ordered, metadata)


def refuse_count(count: int, where: str, limits: Limits) -> NoReturn:
    """Raise the error for too many tensors."""
    refuse(
        where,
        f"lists more tensors than allowed ({count}, the limit is {limits.max_tensors})",
        "raise HERITAGE_WEIGHTS__MAX_TENSORS if you trust the file",
    )


def strict_json(raw: bytes, where: str, what: str) -> dict[str, Any]:
    """The JSON object in `raw`; repeated keys, NaN, deep nesting and text that is not UTF-8 are refused."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(items)
        if len(result) < len(items):
            seen: set[str] = set()
            twice = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            refuse(where, f"{what} gives the key '{printable(twice, 60)}' twice")
        return result

    def constant(text: str) -> NoReturn:
        refuse(where, f"{what} holds {text}, which is no JSON")

    try:
        record = json.loads(raw.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)
    except UnicodeDecodeError as error:
        refuse(where, f"{what} is not UTF-8 (byte {error.start})")
    except RecursionError:
        refuse(where, f"{what} is nested too deeply")
    except ValueError as error:  # also numbers of more than 4,300 digits
        refuse(where, f"{what} is not JSON ({printable(str(error))})")
    if not isinstance(record, dict):
        refuse(where, f"{what} is not a JSON object")
    return record


def _check_amount(raw: bytes, where: str, limits: Limits) -> None:
    """Bound what parsing could allocate, by counting the marks outside strings."""
    bare = _STRING.sub(b"", raw)
    if bare.count(b"{") > limits.max_tensors + 2:
        refuse_count(bare.count(b"{") - 1, where, limits)
    lists, commas = bare.count(b"["), bare.count(b",") + bare.count(b":")
    if lists > 2 * (limits.max_tensors + 1) or commas > (MAX_DIMENSIONS + 8) * limits.max_tensors:
        refuse(where, "the header holds more lists or numbers than its tensors need")


def _metadata(record: object, where: str) -> dict[str, str]:
    if not isinstance(record, dict):
        refuse(where, "__metadata__ is not a JSON object")
    for key, value in record.items():
        if not isinstance(value, str):
            refuse(where, f"__metadata__ key '{printable(key, 60)}' holds {type(value).__name__}; allowed is text")
        if any("\ud800" <= c <= "\udfff" for c in key + value):
            refuse(where, f"__metadata__ key '{printable(key, 60)}' holds half of a UTF-16 pair")
    return record


def _entry(name: str, spec: object, where: str) -> Entry:
    if not isinstance(spec, dict) or spec.keys() != {"dtype", "shape", "data_offsets"}:
        refuse(where, f"{_shown(name)} does not give exactly dtype, shape and data_offsets")
    dtype, shape, offsets = spec["dtype"], spec["shape"], spec["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        known = ", ".join(BITS)
        fault = f"{_shown(name)} has the unknown dtype {printable(repr(dtype), 40)}"
        refuse(where, fault, f"re-save it as one of {known}")
    if not _whole(shape) or len(shape) > MAX_DIMENSIONS:
        refuse(where, f"{_shown(name)} has a shape that is not up to {MAX_DIMENSIONS} whole numbers from 0")
    if not _whole(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        refuse(where, f"{_shown(name)} has data_offsets that are not two rising whole numbers")
    bits = math.prod(shape) * BITS[dtype]
    if bits % 8 or bits // 8 > _MAX_BYTES or bits // 8 != offsets[1] - offsets[0]:
        refuse(where, f"{_shown(name)} ({dtype}) has another size by shape than by data_offsets")
    return Entry(dtype, tuple(shape), offsets[0], offsets[1])


def _shown(name: str) -> str:
    return f"tensor '{printable(name, 60)}'"


def _whole(values: object) -> bool:
    return isinstance(values, list) and all(type(v) is int and 0 <= v <= _MAX_BYTES for v in values)


def _check_cover(ordered: dict[str, Entry], data_bytes: int, where: str) -> None:
    reached = 0
    for name, entry in ordered.items():
        if entry.begin != reached:
            fault = "overlaps the one before it" if entry.begin < reached else "leaves a hole before it"
            refuse(where, f"{_shown(name)} at byte {entry.begin} {fault} ({reached})")
        reached = entry.end
    if reached != data_bytes:
        fault = "is cut short" if reached > data_bytes else "has bytes after its last tensor"
        refuse(where, f"{fault}: the tensors need {reached} bytes, the file holds {data_bytes}")
