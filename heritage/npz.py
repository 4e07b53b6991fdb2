"""Arrays by name as npz files: equal arrays give equal bytes, and hostile bytes give an error and nothing else.

`numpy.load` allocates what a header claims before it looks at the data; here the claim must match the data first.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.names import printable

# what zipfile and numpy's header parser raise on damaged or hostile bytes
_DAMAGE = (ValueError, OSError, EOFError, KeyError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError)
_ZIP_DAMAGE = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)


def write_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """`arrays` as a compressed npz file, in name order and C order; no Python objects."""
    buffer = io.BytesIO()
    # a zero-dimensional array would become one-dimensional in `ascontiguousarray`
    plain = {name: np.asarray(arrays[name], order="C") for name in sorted(arrays)}
    np.savez_compressed(buffer, allow_pickle=False, **plain)
    return buffer.getvalue()


def read_npz(
    data: bytes, where: str, max_bytes: int, what: str = "npz file without Python objects"
) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file by name; `where` names it in errors, `what` says what it should be.

    Raises `BadInput` for anything that is no such file, holds Python objects or the same name twice, or needs more
    than `max_bytes`, before that memory is taken.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(m.file_size for m in members) > max_bytes:
                raise BadInput(f"{where}: unpacks to more than {max_bytes} bytes; split it into smaller files")
            if len({m.filename for m in members}) < len(members):
                raise BadInput(f"{where}: holds an array twice; write it again")
            return {_name(m.filename): _array(_unpack(archive, m)) for m in members}
    except (*_DAMAGE, *_ZIP_DAMAGE) as error:
        detail = printable(str(error)) or type(error).__name__
        raise BadInput(f"{where}: not a readable {what} ({detail}); write it again") from error


def _name(member: str) -> str:
    name = member.removesuffix(".npy")
    if name == member or not name.isidentifier():
        raise ValueError(f"member '{member}' is no array")
    return name


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        # with a size, so that a stream which holds more than it declares is not unpacked beyond that
        return file.read(member.file_size)


def _array(raw: bytes) -> NDArray[Any]:
    file = io.BytesIO(raw)
    version = npy.read_magic(file)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read_header is None:
        raise ValueError(f"format version {version}")
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError(f"dtype {dtype}")
    if any(side < 0 for side in shape):
        raise ValueError(f"shape {shape}")
    # made from the bytes that are there; both steps refuse a shape that does not fit them
    flat = np.frombuffer(raw, dtype, offset=file.tell()).copy()
    return flat.reshape(shape, order="F" if fortran else "C")
