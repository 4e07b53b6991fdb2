"""Fingerprints as bytes: an npz file without Python objects, versioned.

Version 3 holds `about` (JSON: format, version, digest, names, dtypes, shapes, counters) and the arrays of
`Fingerprint`, those of many floats byte by byte of their numbers, (4, n), which packs better. Versions 1 and 2 are
still read: both have a sketch of 4,096 buckets, which is folded; 2 has stretches of one length, so no `spans`, and 1
has none. A reader refuses versions that it does not know. `from_bytes(to_bytes(f))` equals `f`, and equal fingerprints
have equal bytes.
"""

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput, UnsafeCheckpoint, UnsafeName
from heritage.names import check_digest, check_tensor_name
from heritage.npz import read_npz, write_npz
from heritage.weights.dtypes import BITS
from heritage.weights.fingerprint import WHOLE, Fingerprint
from heritage.weights.fingerprint_sample import SEGMENT, places
from heritage.weights.grid import GridEvidence
from heritage.weights.header import strict_json
from heritage.weights.limits import Limits
from heritage.weights.moments import TensorMoments
from heritage.weights.sketch import WIDTH, fold

FORMAT, VERSION = "heritage fingerprint", 3
_READABLE = (1, 2, VERSION)
_MAX_BYTES = 64 * 2**20
_MOST_SEGMENTS, _LONGEST = 2**14, 2**8
_FLOATS = ("sketch", "own_sketches", "sampled")
# array: its dtype in the file
_PER_TENSOR = {
    "squares": "f8", "mean": "f8", "variance": "f8", "skewness": "f4", "kurtosis": "f4",
    "minimum": "f4", "maximum": "f4", "zeros": "i8", "non_finite": "i8", "masks": "u8", "widths": "u2",
    "segments": "u2", "spans": "u2",
}  # fmt: skip


def to_bytes(fingerprint: Fingerprint) -> bytes:
    """`fingerprint` as a file: at most 64 kB and 100 bytes a tensor where names are of the usual kind."""
    f = fingerprint
    about = {
        "format": FORMAT,
        "version": VERSION,
        "digest": f.digest,
        "names": f.names,
        "dtypes": f.dtypes,
        "shapes": f.shapes,
        "counters": f.counters,
    }
    values = {name: getattr(f if hasattr(f, name) else f.moments, name) for name in _PER_TENSOR}
    arrays: dict[str, NDArray[Any]] = {n: v.astype(f"<{_PER_TENSOR[n]}") for n, v in values.items()}
    arrays["about"] = np.frombuffer(json.dumps(about, separators=(",", ":"), sort_keys=True).encode(), np.uint8)
    arrays["grids"] = np.array([(g.sample, g.distinct, g.levels) for g in f.grids], "<u2").reshape(-1, 3)
    arrays["digests"] = np.frombuffer(bytes.fromhex("".join(f.digests)), np.uint8)
    for name in _FLOATS:
        arrays[name] = getattr(f, name).astype("<f4").view(np.uint8).reshape(-1, 4).T
    return write_npz(arrays)


def from_bytes(data: bytes, where: str = "fingerprint") -> Fingerprint:
    """The fingerprint in `data`; `where` names it in errors. Raises `BadInput` for everything else."""
    arrays = read_npz(data, where, _MAX_BYTES)
    try:
        return _decode(arrays, where)
    except (KeyError, TypeError, ValueError, AttributeError, UnsafeCheckpoint, UnsafeName) as error:
        raise BadInput(f"{where}: not a heritage fingerprint ({error!r}); make it again from the weights") from error


def _decode(arrays: dict[str, NDArray[Any]], where: str) -> Fingerprint:
    about = strict_json(arrays["about"].tobytes(), where, "the description")
    if about["format"] != FORMAT or about["version"] not in _READABLE:
        raise BadInput(
            f"{where}: format '{about['format']}' version {about['version']}, this release reads '{FORMAT}' "
            f"{' and '.join(map(str, _READABLE))}; make it again from the weights"
        )
    names, shapes = tuple(about["names"]), tuple(tuple(s) for s in about["shapes"])
    total = len(names)
    _upgrade(arrays, about["version"], total)
    for name, kind in _PER_TENSOR.items():
        if arrays[name].shape != (total,) or arrays[name].dtype != np.dtype(f"<{kind}"):
            raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape} for {total} tensors")
    per = {n: arrays[n].astype(np.float64 if kind[0] == "f" else kind) for n, kind in _PER_TENSOR.items()}
    _check(about, arrays, where)
    digests = arrays["digests"].tobytes().hex()
    return Fingerprint(
        digest=about["digest"],
        names=names,
        dtypes=tuple(about["dtypes"]),
        shapes=shapes,
        moments=TensorMoments(*(per[n] for n in ("squares", "mean", "variance", "skewness", "kurtosis"))),
        minimum=per["minimum"],
        maximum=per["maximum"],
        zeros=per["zeros"],
        non_finite=per["non_finite"],
        masks=per["masks"],
        grids=tuple(GridEvidence(*g) for g in arrays["grids"].tolist()),
        digests=tuple(digests[32 * i : 32 * i + 32] for i in range(total)),
        sketch=arrays["sketch"].astype(np.float32),
        widths=per["widths"].astype(np.int64),
        own_sketches=arrays["own_sketches"].astype(np.float32),
        counters=dict(about["counters"]),
        segments=per["segments"].astype(np.int64),
        spans=per["spans"].astype(np.int64),
        sampled=arrays["sampled"].astype(np.float32),
    )


def _upgrade(arrays: dict[str, NDArray[Any]], version: int, total: int) -> None:
    """Make `arrays` of an earlier version those of this one, and floats of their bytes."""
    if version == 1:
        arrays |= {"segments": np.zeros(total, "<u2"), "sampled": np.zeros(0, "<f4")}
    if version < 3:
        if arrays["sketch"].shape != (WIDTH,):
            raise ValueError(f"sketch has shape {arrays['sketch'].shape}, expected ({WIDTH},)")
        whole = fold(arrays["sketch"].astype(np.float64), WHOLE)
        arrays["sketch"] = whole.astype("<f4")
        arrays["spans"] = np.where(arrays["segments"] > 0, SEGMENT, 0).astype("<u2")
        return
    for name in _FLOATS:
        if arrays[name].dtype != np.uint8 or arrays[name].ndim != 2 or len(arrays[name]) != 4:
            raise ValueError(
                f"{name} is {arrays[name].dtype} {arrays[name].shape}, expected the bytes of floats, (4, n)"
            )
        arrays[name] = np.ascontiguousarray(arrays[name].T).reshape(-1).view("<f4")


def _check(about: dict[str, Any], arrays: dict[str, NDArray[Any]], where: str) -> None:
    """Raise ValueError or UnsafeName where the parts do not fit one another."""
    names, total = about["names"], len(about["names"])
    if total > Limits().max_tensors or names != sorted(set(names)):
        raise ValueError(f"{total} names, too many, twice the same, or not in order")
    for name in names:
        check_tensor_name(name, where)
    if about["digest"]:
        check_digest(about["digest"])
    numbers = [n for shape in about["shapes"] for n in shape] + list(about["counters"].values())
    if any(type(n) is not int or not 0 <= n < 2**62 for n in numbers) or not set(about["dtypes"]) <= BITS.keys():
        raise ValueError("a dtype or a number of the description is not possible")
    if len(about["shapes"]) != total or len(about["dtypes"]) != total or not set(about["counters"]) <= set(names):
        raise ValueError("the description's lists do not fit one another")
    widths = arrays["widths"].astype(np.int64)
    expected = {
        "sketch": (WHOLE,),
        "own_sketches": (int(widths.sum()),),
        "grids": (total, 3),
        "digests": (16 * total if about["digest"] else 0,),
        "sampled": (_sampled(about, *(arrays[n].astype(np.int64) for n in ("segments", "spans"))),),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has shape {arrays[name].shape}, expected {shape}")
    if (widths & (widths - 1)).any() or widths.max(initial=0) > WIDTH:
        raise ValueError("a sketch width is no power of two")


def _sampled(about: dict[str, Any], segments: NDArray[np.int64], spans: NDArray[np.int64]) -> int:
    """Number of values that so many stretches hold; raises ValueError for more rows than a tensor has."""
    total = 0
    if segments.sum() > _MOST_SEGMENTS or spans.max(initial=0) > _LONGEST or ((segments > 0) & (spans == 0)).any():
        raise ValueError(f"stretches of {segments.sum()} rows, {spans.max()} long")
    parts = zip(about["names"], about["dtypes"], about["shapes"], segments.tolist(), spans.tolist(), strict=True)
    for name, dtype, shape, count, span in parts:
        if count and (len(shape) < 2 or count > shape[0] or 0 in shape or math.prod(shape) >= 2**62):
            raise ValueError(f"stretches of {count} rows of a tensor of shape {shape}")
        total += places(name, dtype, tuple(shape), count, span).size
    return total
