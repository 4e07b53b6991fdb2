"""Where configurations come from: csv and parquet files, folders of config.json, manifests of registered versions.

Nothing here evaluates text and nothing is unpickled: csv cells stay text, JSON is parsed as JSON.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heritage.configs.values import text
from heritage.errors import BadInput, NotFound
from heritage.names import printable
from heritage.records import Manifest

MAX_CONFIG_BYTES = 16 * 2**20
SAMPLES = Path(__file__).parent / "sample"

# what model classes call the same quantity
_KEYS: Mapping[str, tuple[str, ...]] = {
    "hidden_size": ("hidden_size", "n_embd", "d_model", "dim"),
    "num_hidden_layers": ("num_hidden_layers", "n_layer", "num_layers", "n_layers", "encoder_layers"),
    "num_attention_heads": ("num_attention_heads", "n_head", "num_heads", "n_heads", "encoder_attention_heads"),
    "num_key_value_heads": ("num_key_value_heads", "num_kv_heads", "n_kv_heads"),
    "intermediate_size": ("intermediate_size", "n_inner", "d_ff", "ffn_dim", "encoder_ffn_dim", "ffn_hidden_size"),
    "max_position_embeddings": ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"),
    "torch_dtype": ("torch_dtype", "dtype"),
    "n_routed_experts": ("n_routed_experts", "num_local_experts", "num_experts"),
    "num_experts_per_tok": ("num_experts_per_tok", "num_experts_per_token", "moe_topk"),
    "head_dimension": ("head_dim", "head_dimension"),
    "norm_eps": ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps"),
}


def read_source(path: Path) -> pd.DataFrame:
    """Rows of `path` as text: csv (also .gz), parquet, or a folder of config.json files.

    Raises `NotFound` where nothing is there, `BadInput` for what is none of these.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise NotFound(f"{path}: no such file or folder; give a csv, a parquet file or a folder of config.json files")
    try:
        if path.suffix == ".parquet":
            return _flat(pd.read_parquet(path))
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], low_memory=False)
    except (ValueError, OSError) as error:  # parser, decoding, compression and arrow errors derive from these
        raise BadInput(f"{path}: not readable as a table ({error}); expected csv, csv.gz or parquet") from error


def read_scores(path: Path) -> pd.DataFrame:
    """Names and scores of a csv file, or of JSON: a list of objects, or an object of name and score.

    Raises `NotFound` where nothing is there, `BadInput` for what is neither.
    """
    if not path.is_file():
        raise NotFound(f"{path}: no such file; give a csv or JSON file of model names and scores")
    try:
        if path.suffix != ".json":
            return pd.read_csv(path)
        content = json.loads(path.read_bytes())
    except (ValueError, OSError, RecursionError) as error:
        raise BadInput(f"{path}: not readable as csv or JSON ({printable(str(error))})") from error
    if isinstance(content, dict) and all(isinstance(v, int | float) for v in content.values()):
        return pd.DataFrame({"model": list(content), "score": list(content.values())})
    if isinstance(content, list) and all(isinstance(row, dict) for row in content):
        return pd.DataFrame(content)
    raise BadInput(f'{path}: expected a list of objects with model and score, or an object such as {{"model": 1200}}')


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with lists, arrays and records of its cells as JSON text."""
    for name in (n for n in frame if pd.api.types.is_object_dtype(frame[n])):
        frame[name] = frame[name].map(_plain)
    return frame


def _plain(cell: Any) -> Any:
    return json.dumps(cell, default=_listed) if isinstance(cell, np.ndarray | list | tuple | dict) else cell


def _listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _folder(path: Path) -> pd.DataFrame:
    files = sorted(path.rglob("config.json")) or sorted(path.glob("*.json"))
    if not files:
        raise NotFound(f"{path}: holds no config.json; expected <organisation>/<model>/config.json or <model>.json")
    return pd.DataFrame([{"modelId": _model_id(path, file), **flatten(_json(file))} for file in files])


def _model_id(root: Path, file: Path) -> str:
    """'org/name' of org/name/config.json, of a hub cache folder models--org--name, or of org--name.json."""
    relative = file.relative_to(root)
    name = relative.stem if file.name != "config.json" else next(
        (p for p in relative.parts if p.startswith("models--")), "/".join(relative.parts[:-1][-2:]) or root.name
    )  # fmt: skip
    return name.removeprefix("models--").replace("--", "/", 1)


def _json(file: Path) -> Mapping[str, Any]:
    if file.stat().st_size > MAX_CONFIG_BYTES:
        raise BadInput(f"{file}: {file.stat().st_size} bytes; a configuration has at most {MAX_CONFIG_BYTES}")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{file}: not readable as JSON ({printable(str(error))}); mend or remove it") from error
    if not isinstance(content, dict):
        raise BadInput(f"{file}: holds a {type(content).__name__}; expected a JSON object")
    return content


def flatten(config: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of one config.json: the table's names for what it states, `config_<key>` for other plain values.

    A nested text_config (image and audio models) fills in what the outer level leaves out.
    """
    inner = config.get("text_config")
    merged = {**inner, **config} if isinstance(inner, dict) else dict(config)
    taken = {key for keys in _KEYS.values() for key in keys}
    row = {f"config_{k}": v for k, v in merged.items() if k not in taken and isinstance(v, str | int | float | bool)}
    for name, keys in _KEYS.items():
        value = next((merged[k] for k in keys if merged.get(k) is not None), None)
        if isinstance(value, str | int | float):
            row[f"config_{name}"] = value
    return row | _nested(merged)


def _nested(config: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"uses_quantization": isinstance(config.get("quantization_config"), dict)}
    classes = config.get("architectures")
    if isinstance(classes, list) and classes:
        row["config_architecture"] = text(classes[0])
    scaling = config.get("rope_scaling") or config.get("rope_parameters")
    if isinstance(scaling, dict):
        row["config_rope_scaling_type"] = text(scaling.get("rope_type", scaling.get("type")))
        if scaling.get("rope_theta") is not None:
            row["config_rope_theta"] = scaling["rope_theta"]
    if row["uses_quantization"]:
        row["config_quantization_method"] = text(config["quantization_config"].get("quant_method"))
    return row


def manifest_id(manifest: Manifest) -> str:
    """Id of a registered version in a config table: name and the first 12 hex digits of its digest."""
    return f"{manifest.name}/{manifest.digest[:12]}"


def from_manifests(manifests: Iterable[Manifest]) -> pd.DataFrame:
    """Rows of registered versions: builder and its keyword arguments, dtype, parameter count, time of creation."""
    rows = []
    for m in manifests:
        design = m.architecture
        kwargs = {} if design is None else dict(design.kwargs)
        lists = {f"config_{k}": text(v) for k, v in kwargs.items() if isinstance(v, list | tuple)}
        rows.append({
            "modelId": manifest_id(m), **flatten(kwargs), **lists,
            "config_builder": None if design is None else design.builder,
            "config_torch_dtype": m.dtype, "params": m.parameters, "createdAt": m.created_at,
        })  # fmt: skip
    return pd.DataFrame(rows) if rows else pd.DataFrame({"modelId": pd.Series(dtype=object)})
