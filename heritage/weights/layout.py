"""Which files make one model: a safetensors file, the shards of an index, or a folder that holds either."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from heritage.errors import NotFound, UnsafeName
from heritage.names import check_file_name, check_tensor_name, printable
from heritage.weights.header import refuse, refuse_count, strict_json
from heritage.weights.limits import Limits
from heritage.weights.shard import Shard, open_regular

INDEX_SUFFIX = ".safetensors.index.json"
MAX_SHARDS = 1000
_PICKLES = (".pt", ".pth", ".bin", ".ckpt")
_MEND = "mend the index or fetch the model again"


def open_shards(path: Path, limits: Limits) -> list[Shard]:
    """The open shards of the model at `path`, in name order; together they hold every tensor once.

    Raises `NotFound` where there is nothing, `UnsafeCheckpoint` for everything else that is wrong.
    """
    if os.path.isdir(path):  # where `Path.is_dir` raises for a name that no file system takes
        path = _weights_of(path)
    if not path.name.endswith(INDEX_SUFFIX):
        return [Shard(path, limits)]
    with _folder(path.parent) as folder, ExitStack() as undo:
        weight_map = _read_index(path, folder, limits)
        shards = []
        for name in sorted(set(weight_map.values())):
            shards.append(Shard(path.parent / name, limits, folder))
            undo.callback(shards[-1].close)
        _check_shards(shards, weight_map, printable(str(path), 300), limits)
        undo.pop_all()
    return shards


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    where = printable(str(path), 300)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound(f"{where}: there is no such folder; check the path") from error
    except OSError as error:
        refuse(where, f"cannot be opened ({error.strerror})", "check the path and its permissions")
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _weights_of(folder: Path) -> Path:
    """The index or the one safetensors file of a folder."""
    where = printable(str(folder), 300)
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        refuse(where, f"cannot be listed ({error.strerror})", "check its permissions")
    indexes = [n for n in names if n.endswith(INDEX_SUFFIX)]
    files = [n for n in names if n.endswith(".safetensors")]
    if len(indexes) > 1 or (not indexes and len(files) > 1):
        found = ", ".join(printable(n, 60) for n in (indexes or files)[:5])
        refuse(where, f"holds several models ({found})", "name one file, or add an index for shards")
    if indexes or files:
        return folder / (indexes or files)[0]
    if any(n.endswith(_PICKLES) for n in names):
        raise NotFound(f"{where}: holds pickled weights but no safetensors file; run `heritage convert` on them first")
    raise NotFound(f"{where}: holds no safetensors file; give a folder or file with weights")


def _read_index(path: Path, folder: int, limits: Limits) -> dict[str, str]:
    """Tensor names to shard file names, both checked."""
    where = printable(str(path), 300)
    descriptor = open_regular(path, folder)
    with os.fdopen(descriptor, "rb") as file:
        raw = file.read(limits.max_header_bytes + 1)
    if len(raw) > limits.max_header_bytes:
        refuse(where, f"is larger than {limits.max_header_bytes} bytes", "raise HERITAGE_WEIGHTS__MAX_HEADER_BYTES")
    weight_map = strict_json(raw, where, "the index").get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(v, str) for v in weight_map.values()):
        refuse(where, "has no 'weight_map' from tensor names to file names", _MEND)
    if len(weight_map) > limits.max_tensors:
        refuse_count(len(weight_map), where, limits)
    for tensor in weight_map:
        check_tensor_name(tensor, where)
    _check_shard_names(set(weight_map.values()), os.listdir(folder), where)
    return weight_map


def _check_shard_names(shards: set[str], present: list[str], where: str) -> None:
    if not 0 < len(shards) <= MAX_SHARDS:
        refuse(where, f"names {len(shards)} shards; allowed are 1 to {MAX_SHARDS}", _MEND)
    for name in sorted(shards):
        try:
            check_file_name(name, where)
        except UnsafeName as error:
            refuse(where, f"shard '{printable(name)}' is no plain file name inside the folder", f"{_MEND} ({error})")
        if not name.endswith(".safetensors"):
            refuse(where, f"shard '{printable(name)}' is not called *.safetensors", _MEND)
    here = {n for n in present if n.endswith(".safetensors")}
    for fault, names in (("names shards that are not there", shards - here), ("leaves out", here - shards)):
        if names:
            listed = ", ".join(printable(n, 60) for n in sorted(names)[:5])
            refuse(where, f"{fault}: {listed} ({len(names)} in all)", "add the missing or move the surplus files away")


def _check_shards(shards: list[Shard], weight_map: dict[str, str], where: str, limits: Limits) -> None:
    count = sum(len(shard.header.tensors) for shard in shards)
    if count > limits.max_tensors:
        refuse_count(count, where, limits)
    for shard in shards:
        listed = {tensor for tensor, name in weight_map.items() if name == shard.path.name}
        for fault, names in (
            ("which lacks it", listed - shard.header.tensors.keys()),
            ("which the index does not say", shard.header.tensors.keys() - listed),
        ):
            if names:
                tensor = printable(min(names), 60)
                refuse(where, f"tensor '{tensor}' in shard '{shard.path.name}', {fault} ({len(names)} such)", _MEND)
