"""Rows of data as arrays: what windows, repair and labelling hand to one another and keep in storage."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.names import printable
from heritage.npz import read_npz, write_npz

MAX_BYTES = 4 * 2**30  # of a file's rows in memory


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """`x` float32 of shape (n, ...): model inputs; `y` int64 (n,): class labels or None; `ids` (n,): str or None."""

    x: NDArray[np.float32]
    y: NDArray[np.int64] | None = None
    ids: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        if self.x.ndim < 1 or self.x.dtype.kind not in "fiub":
            raise BadInput(
                f"rows: x has dtype {self.x.dtype} and shape {self.x.shape}; expected numbers, a row an index"
            )
        if self.y is not None and self.y.dtype.kind not in "iub":
            raise BadInput(f"rows: y has dtype {self.y.dtype}; expected whole numbers (class indexes)")
        # one type, so that equal rows have one digest
        object.__setattr__(self, "x", self.x.astype(np.float32, copy=False))
        object.__setattr__(self, "y", None if self.y is None else self.y.astype(np.int64, copy=False))
        for name, part in (("y", self.y), ("ids", self.ids)):
            if part is not None and part.shape != (len(self.x),):
                raise BadInput(f"rows: {name} has shape {part.shape}, x has {len(self.x)} rows; give one value a row")

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> "Rows":
        """The rows at `index` (positions or a mask)."""
        return Rows(
            self.x[index],
            None if self.y is None else self.y[index],
            None if self.ids is None else self.ids[index],
        )

    @property
    def digest(self) -> str:
        """SHA-256 over shapes and values, in row order."""
        h = hashlib.sha256()
        for name, part in (("x", self.x), ("y", self.y), ("ids", self.ids)):
            if part is not None:
                # JSON keeps apart what joined ids would run together
                data = json.dumps(part.tolist()).encode() if name == "ids" else part.tobytes()
                h.update(f"{name}{part.shape}".encode() + data)
        return h.hexdigest()

    def row_digests(self) -> list[str]:
        """SHA-256 of each row's input, so that an answer can be checked against the row it was given for."""
        return [hashlib.sha256(row.tobytes()).hexdigest() for row in self.x]


def concatenate(parts: Sequence[Rows]) -> Rows:
    """All rows of `parts` in order; labels and ids are kept only where every part has them."""
    if not parts:
        raise BadInput("no rows to put together; give at least one batch")
    if len(shapes := {p.x.shape[1:] for p in parts}) > 1:
        raise BadInput(f"rows of shapes {', '.join(map(str, sorted(shapes)))} do not go together; give them apart")
    ys = [p.y for p in parts if p.y is not None]
    ids = [p.ids for p in parts if p.ids is not None]
    return Rows(
        np.concatenate([p.x for p in parts]),
        np.concatenate(ys) if len(ys) == len(parts) else None,
        np.concatenate(ids) if len(ids) == len(parts) else None,
    )


def to_npz(rows: Rows) -> bytes:
    """`rows` as the bytes of a compressed npz file; equal rows give equal bytes."""
    # texts as wide as the longest needs, not as the array that they were taken from
    ids = None if rows.ids is None else np.array(rows.ids.tolist(), np.str_)
    parts = {"x": rows.x, "y": rows.y, "ids": ids}
    return write_npz({k: v for k, v in parts.items() if v is not None})


def from_npz(data: bytes, where: str) -> Rows:
    """Rows of an npz file with `x` and optionally `y` and `ids`; `where` names it in errors.

    Raises `BadInput` for anything that is no such file, holds Python objects, has numbers beyond float32 (x) or
    int64 (y), or would need over 4 GiB.
    """
    parts = read_npz(data, where, MAX_BYTES)
    if "x" not in parts or not parts.keys() <= {"x", "y", "ids"}:
        names = ", ".join(printable(name, 40) for name in sorted(parts)[:5])
        raise BadInput(f"{where}: holds arrays {names or 'none'}; expected x and optionally y and ids")
    try:
        return Rows(_as_float32(parts["x"]), _as_int64(parts.get("y")), _as_text(parts.get("ids")))
    except BadInput as error:
        raise BadInput(f"{where}: {error}; write the file again") from error


def _as_float32(x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype.kind not in "fiub":
        return x  # `Rows` says what is wrong
    with np.errstate(over="ignore"):
        narrow = x.astype(np.float32, copy=False)
    if x.dtype.itemsize > 4 and np.isinf(narrow).sum() > np.isinf(x).sum():
        raise BadInput(f"x holds numbers beyond float32 (largest {np.abs(x[np.isfinite(x)]).max()})")
    return narrow


def _as_int64(y: NDArray[Any] | None) -> NDArray[Any] | None:
    if y is not None and y.dtype.kind == "u" and y.size and y.max() > np.iinfo(np.int64).max:
        raise BadInput(f"y holds {y.max()}, beyond int64")
    return y


def _as_text(ids: NDArray[Any] | None) -> NDArray[np.str_] | None:
    if ids is None:
        return None
    if ids.dtype.kind != "U":
        raise BadInput(f"ids has dtype {ids.dtype}; expected text")
    codes = np.frombuffer(ids.tobytes(), ids.dtype.byteorder.replace("|", "=") + "u4")
    if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        raise BadInput("ids holds codes that are no Unicode characters")
    return ids.astype(np.str_, copy=False)
