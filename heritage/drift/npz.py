"""npz files with a JSON header: how profiles, windows and prediction logs are stored, without Python objects."""

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.npz import read_npz

MAX_BYTES = 256 * 2**20

Arrays = dict[str, NDArray[Any]]


def pack(form: str, version: int, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a compressed npz file; equal content gives equal bytes."""
    text = json.dumps({"format": form, "version": version, **header}, sort_keys=True, allow_nan=False)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, header=np.frombuffer(text.encode(), np.uint8), **arrays)
    return buffer.getvalue()


def unpack(data: bytes, form: str, version: int, where: str) -> tuple[dict[str, Any], Arrays]:
    """Header and arrays of such a file; `BadInput` naming `where` for another format, version, or a damaged file."""
    arrays = read_npz(data, where, MAX_BYTES, form)
    try:
        header = json.loads(arrays.pop("header").tobytes())
    except (ValueError, KeyError, RecursionError) as error:
        raise BadInput(f"{where}: not a readable {form} ({error}); write it again") from error
    if not isinstance(header, dict) or header.get("format") != form:
        raise BadInput(f"{where}: not a {form}; give a file that heritage wrote as one")
    if header.get("version") != version:
        raise BadInput(
            f"{where}: {form} of schema version {header.get('version')!r}; this heritage reads version {version}. "
            "Upgrade heritage, or make the file again"
        )
    return header, arrays
