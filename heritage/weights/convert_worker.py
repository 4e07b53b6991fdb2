"""The throw-away process that opens a pickled checkpoint; started by `heritage.weights.convert`.

Arguments: descriptor of the pickled file, a JSON object with the limits. Works in an empty folder, writes
`out.safetensors` there, and as its last line of output one JSON object: {"tensors": n, "dropped": [...],
"isolation": [...]} or {"error": kind, "detail": text}. Isolates itself before it looks at the first byte.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from heritage.weights.sandbox import cut_files, cut_network, limit_resources

OUTPUT = "out.safetensors"
# where trainers put the weights beside the optimiser's state and counters
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
_MOST_DROPPED = 1000


class _Unusable(Exception):
    """The file was opened, but holds no weights that can be told apart."""


def main(arguments: list[str]) -> dict[str, Any]:
    """Convert as the arguments say and return what to report."""
    descriptor, options = int(arguments[0]), json.loads(arguments[1])
    isolation = _isolate(descriptor, options)
    try:
        found, dropped = _weights(_load(descriptor), options["key"])
        count = _save(dict(_dense(found)))
    except _Unusable as error:
        return {"error": "unusable", "detail": str(error)}
    except Exception as error:  # the loader was given anything at all, and may fail in any way
        return _failure(error)
    return {"tensors": count, "dropped": dropped[:_MOST_DROPPED], "isolation": isolation}


def _isolate(descriptor: int, options: Mapping[str, Any]) -> list[str]:
    """Give up network, files and resources; returns the names of what the kernel took away."""
    done = cut_network()  # before torch has threads
    import safetensors.torch
    import torch

    torch.set_num_threads(1)
    done += limit_resources(options["memory_bytes"], options["cpu_s"], options["output_bytes"])
    # both may import parts of themselves later
    libraries = {sys.prefix, sys.base_prefix, *torch.__path__, *safetensors.__path__}
    # the file may be opened a second time, to map it; its name leads through /proc
    return done + cut_files([*sorted(libraries), f"/proc/self/fd/{descriptor}"])


def _load(descriptor: int) -> Any:
    import torch

    with os.fdopen(descriptor, "rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
        file.seek(0)
        if is_zip:  # only these can be mapped, so that values are read when they are written
            return torch.load(f"/proc/self/fd/{descriptor}", map_location="cpu", weights_only=True, mmap=True)
        return torch.load(file, map_location="cpu", weights_only=True)


def _weights(content: Any, key: str) -> tuple[dict[str, Any], list[str]]:
    """Tensors by name, and the names of what was left out."""
    if key:
        inner = content.get(key) if isinstance(content, Mapping) else None
        if not _tensors(inner):
            raise _Unusable(f"has no entry '{key}' with tensors")
        return _chosen(content, key)
    if found := _tensors(content):
        return found, _others(content, found)
    if not isinstance(content, Mapping):
        raise _Unusable(f"holds a {type(content).__name__}, not a mapping from names to tensors")
    inner_keys = [k for k, v in content.items() if isinstance(k, str) and _tensors(v)]
    keys = [k for k in _WRAPPERS if k in inner_keys] or inner_keys
    if len(keys) != 1:
        several = f"several sets of tensors ({', '.join(keys[:5])}); say which by its key" if keys else "no tensors"
        raise _Unusable(f"holds {several}")
    return _chosen(content, keys[0])


def _chosen(content: Mapping[str, Any], key: str) -> tuple[dict[str, Any], list[str]]:
    found = _tensors(content[key])
    return found, _others(content, [key]) + [f"{key}.{name}" for name in _others(content[key], found)]


def _tensors(record: Any) -> dict[str, Any]:
    import torch

    if not isinstance(record, Mapping):
        return {}
    return {k: v for k, v in record.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}


def _others(record: Mapping[Any, Any], kept: Any) -> list[str]:
    return [str(k)[:200] for k in record if k not in kept]


def _dense(found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Plain tensors with memory of their own: two names of one tensor are written twice, as a strict loader wants."""
    import torch

    seen: set[int] = set()
    for name, tensor in found.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise _Unusable(f"has the tensor '{name}', which is sparse, quantised or without values")
        plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
        memory = plain.untyped_storage().data_ptr()
        yield name, plain.clone() if memory in seen else plain
        seen.add(memory)


def _save(tensors: dict[str, Any]) -> int:
    from safetensors.torch import save_file

    save_file(tensors, OUTPUT, {"format": "pt"})
    return len(tensors)


def _failure(error: Exception) -> dict[str, Any]:
    text = str(error)
    if refused := re.search(r"GLOBAL ([\w.]+)", text):
        return {"error": "global", "detail": refused[1]}
    if refused := re.search(r"WeightsUnpickler error:\s*([^\n]{1,200})", text):
        # the rest of torch's message advises to switch the protection off
        return {"error": "pickle", "detail": refused[1].strip()}
    if isinstance(error, MemoryError) or re.search(r"allocate memory|Cannot allocate|can't allocate", text):
        return {"error": "memory", "detail": ""}
    if "File too large" in text:
        return {"error": "output", "detail": ""}
    return {"error": "unreadable", "detail": f"{type(error).__name__}: {text[:300]}"}


if __name__ == "__main__":
    print("\n" + json.dumps(main(sys.argv[1:])), flush=True)
