"""Writing safetensors files: whole or not at all."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput, NotFound
from heritage.names import check_tensor_name, printable

if TYPE_CHECKING:
    import torch

Tensor = Union["NDArray[Any]", "torch.Tensor"]


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write `tensors` to `path`, replacing what is there only when everything is on disk.

    Arrays keep their type; tensors that share memory are written once each under their own name. Raises `BadInput`
    for a type that the format lacks and `NotFound` for a folder that is not there; then nothing is left behind.
    """
    where = printable(str(path), 300)
    if not path.parent.is_dir():
        raise NotFound(f"{where}: its folder does not exist; make it first")
    ready = _unshared({check_tensor_name(name, where): _plain(t, name, where) for name, t in tensors.items()})
    # `format` is what other loaders ask for before they read a file
    text = {"format": "pt", **(metadata or {})}
    # hidden and without the ending, so that nobody takes a half-written file for a model
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.tmp")
    try:
        _serialize(ready, temporary, text, where)
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _serialize(tensors: dict[str, "torch.Tensor"], target: Path, metadata: dict[str, str], where: str) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, target, metadata)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{where}: cannot be written as safetensors ({printable(str(error), 300)}); "
            "check the tensors' types, the free space and the permissions of the folder"
        ) from error


def _plain(tensor: Tensor, name: str, where: str) -> "torch.Tensor":
    """`tensor` on the CPU, dense and contiguous."""
    import torch

    shown = f"{where}: tensor '{printable(name, 60)}'"
    if isinstance(tensor, torch.Tensor):
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise BadInput(f"{shown} is sparse or quantised; make it dense first")
        return tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    array = np.asarray(tensor)
    try:
        native = np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")
        return torch.from_numpy(native if native.flags.writeable else native.copy())
    except TypeError as error:
        raise BadInput(f"{shown} is of {array.dtype}, not numbers; leave it out") from error


def _unshared(tensors: dict[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """The same tensors, copied where one lies in the memory of an earlier one: the format keeps each by itself."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        result[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return result


def _sync(path: Path) -> None:
    """Have the file or folder written to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
