"""What repair may do with one tensor, by its kind: the rules that the in-memory and the streaming path share.

Integer and boolean buffers are counters or masks: they are copied from the drifted model. Quantised weights have no
meaningful line between them: they are refused. Everything else is computed in float32 (float64 stays float64) and
written back in the drifted model's dtype.
"""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum

import torch
from torch import Tensor

from heritage.errors import BadInput
from heritage.names import printable

State = Mapping[str, Tensor]

# a variance that extrapolation pushed below this would divide by nearly nothing (BatchNorm itself adds 1e-5)
VARIANCE_FLOOR = 1e-5
# a weight matrix with at least this share of exact zeros was pruned: trained weights are never exactly zero
PRUNED_SHARE = 0.01

_STATISTICS = ("running_mean", "running_var")
_PACKED = ("qweight", "qzeros", "weight_packed", "weight_quantized")
_FLOATS = frozenset([torch.float16, torch.bfloat16, torch.float32, torch.float64])


class TensorClass(StrEnum):
    """What a tensor is in a network; coefficients, norms and trimming may be asked for one class alone."""

    MATRIX = "matrix"
    NORM = "norm"
    BIAS = "bias"
    EMBEDDING = "embedding"
    STATISTIC = "statistic"  # running means and variances: moved along with the weights, never trained
    BUFFER = "buffer"  # counters and masks: copied


def tensor_class(name: str, tensor: Tensor) -> TensorClass:
    """The class of `tensor`, from its name, dtype and number of axes."""
    last = name.rsplit(".", 1)[-1]
    if not tensor.dtype.is_floating_point:
        return TensorClass.BUFFER
    if last in _STATISTICS:
        return TensorClass.STATISTIC
    if tensor.ndim >= 2:
        embeds = tensor.ndim == 2 and any(w in name.lower() for w in ("embed", "wte", "wpe"))
        return TensorClass.EMBEDDING if embeds else TensorClass.MATRIX
    return TensorClass.BIAS if last in ("bias", "beta") else TensorClass.NORM


def check_arithmetic(name: str, tensor: Tensor, where: str) -> None:
    """Raise `BadInput` where `tensor` is quantised, sparse, complex or an unmerged LoRA factor.

    `where` names the model in the message.
    """
    shown = f"{where}: tensor '{printable(name)}'"
    if ".lora_A." in name or ".lora_B." in name or name.endswith(("lora_A", "lora_B")):
        raise BadInput(f"{shown} is a LoRA factor; merge the adapter into its base first (a mix of factors is no mix)")
    if _is_quantised(name, tensor):
        raise BadInput(f"{shown} is quantised ({tensor.dtype}); repair its float parent and quantise the result again")
    if tensor.layout is not torch.strided or tensor.dtype.is_complex:
        raise BadInput(f"{shown} is {tensor.layout} {tensor.dtype}; only dense real tensors can be repaired")


def _is_quantised(name: str, tensor: Tensor) -> bool:
    last = name.rsplit(".", 1)[-1]
    eight_bit_weight = tensor.dtype in (torch.int8, torch.uint8) and tensor.ndim >= 2 and last == "weight"
    small_float = tensor.dtype.is_floating_point and tensor.dtype not in _FLOATS
    return tensor.is_quantized or last in _PACKED or eight_bit_weight or small_float or tensor.dtype is torch.int8


def check_finite(name: str, tensor: Tensor, where: str) -> None:
    """Raise `BadInput` naming `tensor` where it holds NaN or infinity (inf - inf and 0 * inf would spread as NaN)."""
    if not tensor.dtype.is_floating_point or not tensor.numel():
        return
    # one sum sees every NaN and infinity at a third of the cost; a sum that overflows is looked at again
    if not math.isfinite(float(tensor.sum())) and not bool(torch.isfinite(tensor).all()):
        bad = int((~torch.isfinite(tensor)).sum())
        raise BadInput(
            f"{where}: tensor '{printable(name)}' holds {bad} NaN or infinite values of {tensor.numel()}; "
            "repair needs finite weights: choose another version"
        )


def work_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype that `tensor` is computed in: float64 for float64, else float32."""
    return torch.float64 if tensor.dtype is torch.float64 else torch.float32


def combine(drifted: Tensor, donors: Sequence[Tensor], coefficients: Sequence[float], in_place: bool = False) -> Tensor:
    """drifted + sum_i a_i (donor_i - drifted), elementwise, in the work dtype of `drifted`.

    One donor is exactly `torch.lerp`. The result does not depend on how a tensor is cut into slices, so that the
    streaming writer gives the same bits. `in_place` allows to use up the memory of `drifted` and the donors.
    """
    pairs = [(d, a) for d, a in zip(donors, coefficients, strict=True) if a != 0.0]
    start = drifted.to(work_dtype(drifted))
    if not pairs:
        return start if in_place else start.clone()
    others = [d.to(start.dtype) for d, _ in pairs]
    if len(pairs) == 1:
        return start.lerp_(others[0], pairs[0][1]) if in_place else torch.lerp(start, others[0], pairs[0][1])
    steps = [(o.sub_(start) if in_place else o - start).mul_(a) for o, (_, a) in zip(others, pairs, strict=True)]
    out = start if in_place else start.clone()
    for step in steps:
        out.add_(step)
    return out


def finish(name: str, value: Tensor, drifted: Tensor, donors: Sequence[Tensor], masked: bool) -> Tensor:
    """`value` made valid and cast to the dtype of `drifted`.

    A running variance is kept at or above `VARIANCE_FLOOR`, or the smallest of its inputs where that is lower; where
    `masked`, what the drifted model pruned stays zero. Raises `BadInput` where the cast overflows.
    """
    if name.rsplit(".", 1)[-1] == "running_var":
        floor = torch.full_like(value, VARIANCE_FLOOR)
        for given in (drifted, *donors):
            floor = torch.minimum(floor, given.to(value.dtype))
        value = torch.maximum(value, floor)
    if masked:
        value = value * (drifted != 0)
    out = value.to(drifted.dtype)
    check_finite(name, out, "repaired model")
    return out


def is_pruned(name: str, tensor: Tensor) -> bool:
    """True where `tensor` is a weight matrix with so many exact zeros that somebody must have pruned it."""
    if tensor_class(name, tensor) not in (TensorClass.MATRIX, TensorClass.EMBEDDING) or not tensor.numel():
        return False
    zeros = tensor.numel() - int(torch.count_nonzero(tensor))
    return zeros >= max(2, PRUNED_SHARE * tensor.numel())


def pruned_names(state: State) -> tuple[str, ...]:
    """Names of the pruned tensors of `state`, sorted; their zeros survive a repair."""
    return tuple(sorted(name for name, tensor in state.items() if is_pruned(name, tensor)))


def tied_names(state: State) -> dict[str, str]:
    """Name -> first name, for tensors of `state` that are the same memory under a later name."""
    first: dict[tuple[object, ...], str] = {}
    tied: dict[str, str] = {}
    for name, tensor in state.items():
        if tensor.numel() and not tensor.is_meta:
            key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)
            if first.setdefault(key, name) != name:
                tied[name] = first[key]
    return tied


def align_rows(donor: Tensor, drifted: Tensor, rows: Mapping[int, int]) -> Tensor:
    """The donor's embedding in the drifted model's row order: row `i` is donor row `rows[i]`.

    `rows` maps a row of `drifted` to a row of `donor` (the same token in the two vocabularies); rows that it lacks
    stay as the drifted model has them. Both are (tokens, width); raises `BadInput` where the widths differ.
    """
    if donor.ndim != 2 or drifted.ndim != 2 or donor.shape[1] != drifted.shape[1]:
        raise BadInput(
            f"embeddings of shape {tuple(donor.shape)} and {tuple(drifted.shape)} cannot be matched by token; "
            "both need two axes and the same width"
        )
    out = drifted.clone()
    if rows:
        out[torch.tensor(list(rows))] = donor[torch.tensor(list(rows.values()))].to(drifted.dtype)
    return out
