"""Rows of data as arrays: what windows, repair and labelling hand to one another and keep in storage."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.npz import read_npz, write_npz

_MAX_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """`x` float32 of shape (n, ...): model inputs; `y` int64 (n,): class labels or None; `ids` (n,): str or None."""

    x: NDArray[np.float32]
    y: NDArray[np.int64] | None = None
    ids: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
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
                data = "\0".join(part.tolist()).encode() if name == "ids" else np.ascontiguousarray(part).tobytes()
                h.update(f"{name}{part.shape}".encode() + data)
        return h.hexdigest()

    def row_digests(self) -> list[str]:
        """SHA-256 of each row's input, so that an answer can be checked against the row it was given for."""
        flat = np.ascontiguousarray(self.x).reshape(len(self.x), -1)
        return [hashlib.sha256(row.tobytes()).hexdigest() for row in flat]


def concatenate(parts: Sequence[Rows]) -> Rows:
    """All rows of `parts` in order; labels and ids are kept only where every part has them."""
    if not parts:
        raise BadInput("no rows to put together; give at least one batch")
    ys = [p.y for p in parts if p.y is not None]
    ids = [p.ids for p in parts if p.ids is not None]
    return Rows(
        np.concatenate([p.x for p in parts]),
        np.concatenate(ys) if len(ys) == len(parts) else None,
        np.concatenate(ids) if len(ids) == len(parts) else None,
    )


def to_npz(rows: Rows) -> bytes:
    """`rows` as the bytes of a compressed npz file; equal rows give equal bytes."""
    parts = {"x": rows.x, "y": rows.y, "ids": rows.ids}
    return write_npz({k: v for k, v in parts.items() if v is not None})


def from_npz(data: bytes, where: str) -> Rows:
    """Rows of an npz file with `x` and optionally `y` and `ids`; `where` names it in errors.

    Raises `BadInput` for anything that is no such file, holds Python objects, or would need over 4 GiB.
    """
    parts = read_npz(data, where, _MAX_BYTES)
    if "x" not in parts or not parts.keys() <= {"x", "y", "ids"}:
        raise BadInput(f"{where}: holds arrays {sorted(parts)}; expected x and optionally y and ids")
    return _checked(parts, where)


def _checked(parts: dict[str, NDArray[np.generic]], where: str) -> Rows:
    x, y, ids = parts["x"], parts.get("y"), parts.get("ids")
    if x.ndim < 1 or x.dtype.kind not in "fiub":
        raise BadInput(f"{where}: x has dtype {x.dtype} and shape {x.shape}; expected numbers, one row a first index")
    if y is not None and y.dtype.kind not in "iu":
        raise BadInput(f"{where}: y has dtype {y.dtype}; expected whole numbers (class indexes)")
    if ids is not None and ids.dtype.kind != "U":
        raise BadInput(f"{where}: ids has dtype {ids.dtype}; expected text")
    return Rows(
        x.astype(np.float32, copy=False),
        None if y is None else y.astype(np.int64, copy=False),
        None if ids is None else ids.astype(np.str_, copy=False),
    )
