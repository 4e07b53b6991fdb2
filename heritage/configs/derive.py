"""Columns that follow from others: organisation, family, head size, ratios, parameter estimate, categories.

They are computed from validated values, because flattened tables carry ratios that were taken from shifted columns.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.configs.fields import CONTEXT_LEVELS, SIZE_LEVELS

# first match wins; the order puts the more specific before what it was made from
FAMILIES = ("DeepSeek", "Mistral", "LLaMA", "BERT", "GPT", "T5", "Whisper")
_SYNONYMS = {"mixtral": "Mistral"}
_SIZES = (1.0, 10.0, 70.0)  # billions of parameters
_CONTEXTS = (2_048, 8_192, 32_768)  # tokens, each bound included


def derive(frame: pd.DataFrame) -> pd.DataFrame:
    """`frame` with the derived columns; given truth values and parameter counts are kept where present."""
    new = frame.copy()
    ids = new["modelId"].astype(str)
    new["organization"] = np.where(ids.str.contains("/"), ids.str.split("/").str[0], "community")
    new["family"] = families(new)
    _ratios(new)
    _flags(new)
    new["config_approx_params_billions"] = _given(new, "config_approx_params_billions", _parameters(new))
    new["size_category"] = _cut(_number(new, "config_approx_params_billions"), _SIZES, SIZE_LEVELS, right=False)
    new["context_category"] = _cut(_number(new, "config_max_position_embeddings"), _CONTEXTS, CONTEXT_LEVELS)
    return new


def families(frame: pd.DataFrame) -> NDArray[np.object_]:
    """Family of each row by priority, from is_*_family columns, model type or architecture class; else 'Other'.

    None where a row says nothing at all: an unknown family is not a family.
    """
    kind = _text(frame, "config_model_type") + " " + _text(frame, "config_architecture")
    known = kind.str.strip() != ""
    family = np.full(len(frame), None, dtype=object)
    family[known.to_numpy()] = "Other"
    for word, name in [*_SYNONYMS.items(), *((f.lower(), f) for f in reversed(FAMILIES))]:
        family[kind.str.contains(word, regex=False).to_numpy()] = name
    for name in reversed(FAMILIES):
        column = f"is_{name.lower()}_family"
        if column in frame:
            family[frame[column].to_numpy() == 1.0] = name
    return family


def _ratios(frame: pd.DataFrame) -> None:
    hidden, heads = _number(frame, "config_hidden_size"), _number(frame, "config_num_attention_heads")
    layers, context = _number(frame, "config_num_hidden_layers"), _number(frame, "config_max_position_embeddings")
    experts = _number(frame, "config_n_routed_experts")
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(np.mod(hidden, heads) == 0, hidden / heads, np.nan)
        frame["config_head_dimension"] = _given(frame, "config_head_dimension", size)
        frame["config_gqa_ratio"] = heads / _number(frame, "config_num_key_value_heads")
        frame["config_ffn_ratio"] = _number(frame, "config_intermediate_size") / hidden
        frame["config_context_per_layer"] = context / layers
        used = 100.0 * _number(frame, "config_num_experts_per_tok") / experts
        frame["config_moe_expert_utilization"] = np.where((experts > 0) & (used <= 100.0), used, np.nan)


def _flags(frame: pd.DataFrame) -> None:
    """Truth values that the numbers imply; where neither says anything they stay missing."""
    ratio, experts = frame["config_gqa_ratio"].to_numpy(), _number(frame, "config_n_routed_experts")
    frame["uses_gqa"] = _given(frame, "uses_gqa", np.where(np.isnan(ratio), np.nan, ratio > 1))
    frame["uses_moe"] = _given(frame, "uses_moe", np.where(np.isnan(experts), _dense(frame), experts > 1))
    theta = _number(frame, "config_rope_theta")
    frame["uses_rope"] = _given(frame, "uses_rope", np.where(np.isnan(theta), np.nan, 1.0))


def _dense(frame: pd.DataFrame) -> NDArray[np.float64]:
    """0 where a model states its layers but no experts, in a table that has experts elsewhere; else NaN.

    Configurations mention experts only where there are any; a type named 'moe' without a count stays unknown.
    """
    layers, experts = _number(frame, "config_num_hidden_layers"), _number(frame, "config_n_routed_experts")
    known = ~np.isnan(layers) & (not np.isnan(experts).all())
    named = (_text(frame, "config_model_type") + _text(frame, "config_architecture")).str.contains("moe|mixtral")
    return np.where(known & ~named.to_numpy(dtype=np.bool_), 0.0, np.nan)


def _parameters(frame: pd.DataFrame) -> NDArray[np.float64]:
    """Billions of parameters: the stated count, else attention + gated feed-forward + one embedding of a decoder."""
    h, layers = _number(frame, "config_hidden_size"), _number(frame, "config_num_hidden_layers")
    inter, vocab = _number(frame, "config_intermediate_size"), _number(frame, "config_vocab_size")
    ratio = np.nan_to_num(frame["config_gqa_ratio"].to_numpy(), nan=1.0)
    experts = np.nan_to_num(_number(frame, "config_n_routed_experts"), nan=1.0)
    width = np.where(experts > 1, _given(frame, "config_moe_intermediate_size", inter), inter)
    with np.errstate(divide="ignore"):
        attention = h * h * (2.0 + 2.0 / ratio)
    estimate = layers * (attention + 3.0 * h * width * np.maximum(experts, 1.0)) + vocab * h
    return np.where(np.isnan(_number(frame, "params")), estimate, _number(frame, "params")) / 1e9


def _cut(
    values: NDArray[np.float64], bounds: tuple[float, ...], levels: tuple[str, ...], right: bool = True
) -> NDArray[np.object_]:
    place = np.where(np.isnan(values), len(levels), np.digitize(values, bounds, right=right))
    cut: NDArray[np.object_] = np.array([*levels, None], dtype=object)[place]
    return cut


def _given(frame: pd.DataFrame, name: str, otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    stated = _number(frame, name)
    return np.where(np.isnan(stated), otherwise, stated)


def _number(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    return frame[name].to_numpy(dtype=np.float64) if name in frame else np.full(len(frame), np.nan)


def _text(frame: pd.DataFrame, name: str) -> "pd.Series[str]":
    column = frame[name] if name in frame else pd.Series([None] * len(frame), index=frame.index, dtype=object)
    return column.fillna("").astype(str).str.lower()
