"""Merging of LoRA adapters (Hu et al., arXiv 2106.09685) into their base weights.

A mix of the factors A and B of two adapters is not the mix of their products B A (measured relative error .71), so
adapters are merged before any arithmetic.
"""

from torch import Tensor

from heritage.errors import BadInput
from heritage.names import printable
from heritage.repair.tensors import State

_SUFFIXES = ((".lora_A.weight", ".lora_B.weight"), (".lora_A.default.weight", ".lora_B.default.weight"))


def merge_lora(state: State, scale: float) -> dict[str, Tensor]:
    """`state` with every pair of factors merged: W + scale * B A, computed in float32, in the dtype of W.

    `scale` is lora_alpha / rank (lora_alpha / sqrt(rank) for rank-stabilised adapters). The base weight is found as
    'PATH.weight' or 'PATH.base_layer.weight' and written as 'PATH.weight'. Raises `BadInput` where a factor is alone.
    """
    out = {name.replace(".base_layer.", "."): tensor for name, tensor in state.items() if ".lora_" not in name}
    for name in [n for n in state if ".lora_A." in n]:
        path, other = _pair(name)
        if other not in state or f"{path}.weight" not in out:
            raise BadInput(
                f"LoRA factor '{printable(name)}' lacks '{printable(other)}' or its base weight "
                f"'{printable(path)}.weight'; give the base model and the adapter together"
            )
        weight = out[f"{path}.weight"]
        product = state[other].float() @ state[name].float()
        if product.shape != weight.shape:
            raise BadInput(f"LoRA product of '{printable(path)}' is {tuple(product.shape)}, its base {weight.shape}")
        out[f"{path}.weight"] = (weight.float() + scale * product).to(weight.dtype)
    return out


def _pair(name: str) -> tuple[str, str]:
    for a, b in _SUFFIXES:
        if name.endswith(a):
            return name.removesuffix(a), name.removesuffix(a) + b
    raise BadInput(f"LoRA factor '{printable(name)}' does not follow 'PATH.lora_A.weight'; merge it with its own tool")
