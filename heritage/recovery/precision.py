"""How finely stored values are spaced: every tolerance of a proof is derived from here."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# bits of the mantissa that are stored, and the exponent of the smallest normal number
_MANTISSA = {"F64": (23, -126), "F32": (23, -126), "BF16": (7, -126), "F16": (10, -14)}


def ulp(values: NDArray[np.floating[Any]], dtype: str) -> NDArray[np.float64]:
    """Spacing of the numbers of `dtype` around each value. Types not listed count as BF16; F64 was read as F32."""
    bits, lowest = _MANTISSA.get(dtype, _MANTISSA["BF16"])
    fine = np.spacing(np.abs(values.astype(np.float32, copy=False))).astype(np.float64)
    return np.asarray(np.maximum(fine * 2.0 ** (23 - bits), 2.0 ** (lowest - bits)))


def spacing(dtype: str) -> float:
    """Spacing of the numbers of `dtype` relative to the power of two below them."""
    return float(2.0 ** -_MANTISSA.get(dtype, _MANTISSA["BF16"])[0])


def rounding_variance(values: NDArray[np.floating[Any]], dtype: str) -> NDArray[np.float64]:
    """Variance of the error of rounding to `dtype`: uniform over one spacing."""
    return ulp(values, dtype) ** 2 / 12.0


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values rounded to bfloat16, ties to even, as float32."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + (((bits >> 16) & 1) + 0x7FFF).astype(np.uint32)) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32)


def to_f16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values rounded to IEEE half precision, as float32."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float32)


NARROW: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {"BF16": to_bf16, "F16": to_f16}


def kept_dtype(values: NDArray[np.float32], dtype: str) -> str:
    """The narrowest type that holds all of `values` exactly: a lossless re-save hides in a wider one."""
    finite = values[np.isfinite(values)]
    for name, narrow in NARROW.items():
        if np.array_equal(narrow(finite), finite):
            return name
    return dtype
