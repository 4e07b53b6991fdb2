"""The element types of safetensors: their width, whether they are floats, and their exact values as numpy arrays.

Types that numpy lacks are decoded without torch: BF16 by a shift, the 8-bit and 4-bit floats by a table of all their
values. Every value of these types is exactly a float32.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

# element width in bits; the 6-bit floats of the format are not here: no tool that we feed can use them
BITS = {
    "F64": 64, "F32": 32, "F16": 16, "BF16": 16,
    "F8_E4M3": 8, "F8_E5M2": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F8_E8M0": 8, "F4": 4,
    "I64": 64, "I32": 32, "I16": 16, "I8": 8, "U64": 64, "U32": 32, "U16": 16, "U8": 8,
    "BOOL": 8, "C64": 64,
}  # fmt: skip
FLOATS = frozenset(name for name in BITS if name.startswith(("F", "BF")))

_NUMPY = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "C64": "<c8",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip
# exponent bits, mantissa bits, exponent bias; 'nuz' types have no infinity and one NaN, at the place of minus zero
_SMALL = {
    "F8_E4M3": (4, 3, 7),
    "F8_E5M2": (5, 2, 15),
    "F8_E4M3FNUZ": (4, 3, 8),
    "F8_E5M2FNUZ": (5, 2, 16),
    "F4": (2, 1, 1),
}
_TORCH = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz", "F8_E8M0": "float8_e8m0fnu", "F4": "float4_e2m1fn_x2",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool", "C64": "complex64",
}  # fmt: skip


@cache
def _values(dtype: str) -> NDArray[np.float32]:
    """All values of a small float type by bit pattern, float32 of shape (256,) or (16,)."""
    if dtype == "F8_E8M0":  # a power of two without sign; the last pattern is NaN
        return np.asarray([*(2.0 ** (np.arange(255) - 127.0)), np.nan], np.float32)
    exponent_bits, mantissa_bits, bias = _SMALL[dtype]
    code = np.arange(2 ** (1 + exponent_bits + mantissa_bits))
    mantissa = code & (2**mantissa_bits - 1)
    exponent = (code >> mantissa_bits) & (2**exponent_bits - 1)
    sign = np.where(code >> (exponent_bits + mantissa_bits), -1.0, 1.0)
    fraction = mantissa / 2**mantissa_bits + (exponent > 0)
    values = sign * fraction * 2.0 ** (np.maximum(exponent, 1) - bias)
    if dtype.endswith("FNUZ"):
        values[len(code) // 2] = np.nan
    elif dtype == "F8_E4M3":
        values[(code & 127) == 127] = np.nan
    elif dtype == "F8_E5M2":
        top = exponent == 31
        values[top] = np.where(mantissa[top] == 0, sign[top] * np.inf, np.nan)
    return np.asarray(values, np.float32)


def decode(raw: NDArray[np.uint8], dtype: str) -> NDArray[Any]:
    """The elements stored in `raw`, flat: a view where numpy has the type, float32 for BF16, F8 and F4.

    F4 gives two elements a byte, the low half first.
    """
    if dtype in _NUMPY:
        return raw.view(_NUMPY[dtype])
    if dtype == "BOOL":
        return np.asarray(raw != 0)  # another byte than 0 or 1 must not reach numpy as a bool
    if dtype == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    codes = np.stack([raw & 15, raw >> 4], axis=-1).reshape(-1) if dtype == "F4" else raw
    return _values(dtype)[codes]


def torch_dtype(dtype: str) -> Any:
    """The torch type of the same elements (F4: packed, two a byte)."""
    import torch

    return getattr(torch, _TORCH[dtype])
