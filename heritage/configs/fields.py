"""What each column of a config table means: its kind, its plausible range, its order.

Kinds are stated, never guessed from the first rows: a column that is not listed here is judged by all its values.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How two values of a field are compared."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"
    ORDINAL = "ordinal"


@dataclass(frozen=True, slots=True)
class Field:
    """One column: name, kind, the range that numbers must lie in, the levels of an ordinal in rising order."""

    name: str
    kind: Kind
    low: float = -math.inf
    high: float = math.inf
    levels: tuple[str, ...] = ()


# the ranges hold every published model by a wide margin; they exist to catch values of other columns
_NUMBERS: Mapping[str, tuple[float, float]] = {
    "config_hidden_size": (1, 65_536),
    "config_intermediate_size": (1, 1_048_576),
    "config_num_hidden_layers": (1, 1_000),
    "config_num_attention_heads": (1, 1_024),
    "config_num_key_value_heads": (1, 1_024),
    "config_vocab_size": (2, 5_000_000),
    "config_max_position_embeddings": (1, 100_000_000),
    "config_rope_theta": (1, 1e12),
    "config_head_dimension": (1, 4_096),
    "config_gqa_ratio": (1, 1_024),
    "config_ffn_ratio": (0.01, 1_000),
    "config_approx_params_billions": (1e-9, 100_000),
    "config_context_per_layer": (1e-3, 1e8),
    "config_moe_expert_utilization": (0, 100),
    "config_moe_intermediate_size": (1, 1_048_576),
    "config_moe_layer_freq": (0, 1_000),
    "config_n_routed_experts": (0, 8_192),
    "config_n_shared_experts": (0, 1_024),
    "config_num_experts_per_tok": (0, 1_024),
    "config_routed_scaling_factor": (0, 10_000),
    "config_sliding_window": (0, 100_000_000),
    "config_norm_eps": (0, 1),
    "config_initializer_range": (0, 100),
    "config_quant_bits": (1, 64),
    "params": (1, 1e14),
    "downloads": (0, 1e13),
    "likes": (0, 1e10),
    "spaces": (0, 1e10),
}
_WORDS = (
    "config_model_type", "config_architecture", "config_torch_dtype", "config_rope_scaling_type",
    "config_transformers_version", "config_hidden_act", "config_quantization_method", "config_builder",
    "dtype", "license", "pipeline_tag", "library_name", "languages", "config_quant_method",
)  # fmt: skip
_FLAGS = (
    "uses_moe", "uses_gqa", "uses_rope", "uses_quantization", "uses_lora", "config_moe_enabled",
    "config_tie_word_embeddings", "config_attention_bias", "config_load_in_4bit", "gguf", "peft", "merge",
)  # fmt: skip
SIZE_LEVELS = ("small", "medium", "large", "xlarge")
CONTEXT_LEVELS = ("short", "medium", "long", "very_long")

SCHEMA: Mapping[str, Field] = {
    **{name: Field(name, Kind.NUMERIC, low, high) for name, (low, high) in _NUMBERS.items()},
    **{name: Field(name, Kind.CATEGORICAL) for name in _WORDS},
    **{name: Field(name, Kind.BOOLEAN) for name in _FLAGS},
    "size_category": Field("size_category", Kind.ORDINAL, levels=SIZE_LEVELS),
    "context_category": Field("context_category", Kind.ORDINAL, levels=CONTEXT_LEVELS),
}

# the fifteen fields that the distance is taken over unless others are named
FEATURES = (
    "config_model_type", "config_hidden_size", "config_num_hidden_layers", "config_num_attention_heads",
    "config_intermediate_size", "config_vocab_size", "config_max_position_embeddings", "config_num_key_value_heads",
    "config_torch_dtype", "config_rope_theta", "config_rope_scaling_type",
    "uses_moe", "uses_gqa", "uses_rope", "uses_quantization",
)  # fmt: skip

# not compared unless named: computed from other columns, or telling of a model's success and not of its making
BY_NAME_ONLY = frozenset(
    ["downloads", "likes", "spaces",
     "config_head_dimension", "config_gqa_ratio", "config_ffn_ratio", "config_context_per_layer",
     "config_moe_expert_utilization", "config_approx_params_billions", "size_category", "context_category"]
)  # fmt: skip

# what other tables call the same columns
ALIASES: Mapping[str, str] = {
    "model_id": "modelId", "id": "modelId", "model": "modelId",
    "created_at": "createdAt", "Upload To Hub Date": "createdAt",
    "architecture": "config_architecture", "Architecture": "config_architecture",
    "Precision": "config_torch_dtype", "params_b": "config_approx_params_billions", "Hub License": "license",
    "MoE": "uses_moe", "Base Model": "base_model",
}  # fmt: skip

# columns that are read as text and never take part in a comparison
NOT_COMPARED = frozenset(
    ["modelId", "name", "source", "organization", "family", "createdAt", "last_modified", "root", "depth", "base_model",
     "parent_model", "finetune_parent", "quantized_parent", "adapter_parent", "merge_parent", "model_type_derived"]
)  # fmt: skip


def short(name: str) -> str:
    """`name` as figures and reports write it: 'config_num_hidden_layers' -> 'num hidden layers'."""
    return name.removeprefix("config_").replace("_", " ")
