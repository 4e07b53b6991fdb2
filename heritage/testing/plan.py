"""What a forest shall hold, before anything is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from heritage.testing.networks import Shape

RELATIONS = (
    "finetune", "frozen", "checkpoint", "pruned_ft", "int8_ft", "lora", "prune", "quantize",
    "merge_linear", "merge_slerp", "merge_ties", "merge_soup", "copy", "recast", "distill",
)  # fmt: skip
MERGES = ("merge_linear", "merge_slerp", "merge_ties", "merge_soup")
KIND_OF = {
    **dict.fromkeys(("finetune", "frozen", "checkpoint", "pruned_ft", "int8_ft"), "finetune"),
    **dict.fromkeys(MERGES, "merge"),
    "lora": "lora", "prune": "prune", "quantize": "quantize", "copy": "copy", "recast": "copy",
    "root": "root", "distill": "root",
}  # fmt: skip

_HARD: Mapping[str, float] = {
    "finetune": 8, "frozen": 2, "checkpoint": 1, "pruned_ft": 1.5, "int8_ft": 1.5, "lora": 2.5, "prune": 1.5,
    "quantize": 1.5,
    "merge_linear": 1.3, "merge_slerp": 1, "merge_ties": 1, "merge_soup": 1, "copy": 0.7, "recast": 0.5, "distill": 0.4,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ForestPlan:
    """A forest: how many models, of which kinds of network, with which relations (weights) and gaps."""

    models: int = 60
    family_size: int = 12
    kinds: tuple[str, ...] = ("layernorm", "rmsnorm", "batchnorm", "mlp")
    relations: Mapping[str, float] = field(default_factory=lambda: dict(_HARD))
    dtype: str = "f32"
    tree_shapes: tuple[str, ...] = ("star", "chain", "random", "random")
    missing: float = 0.08
    other_heads: float = 0.12
    small: bool = False


EASY = ForestPlan(kinds=("layernorm",), missing=0.0, other_heads=0.0, tree_shapes=("random", "star"))


def hard(models: int = 60, dtype: str = "f32") -> ForestPlan:
    """Four architectures, every relation, missing parents, heads of other sizes."""
    return ForestPlan(models=models, dtype=dtype)


def easy(relations: Mapping[str, float], models: int = 60, dtype: str = "f32") -> ForestPlan:
    """LayerNorm transformers with the given relations only, every parent present."""
    return ForestPlan(
        models=models,
        kinds=EASY.kinds,
        relations=relations,
        dtype=dtype,
        tree_shapes=EASY.tree_shapes,
        missing=0.0,
        other_heads=0.0,
    )


FULL: Mapping[str, float] = {"finetune": 1.0}
ADAPTERS: Mapping[str, float] = {"lora": 1.0}
FIVE: Mapping[str, float] = {"finetune": 5.0, "lora": 2.0, "prune": 1.0, "quantize": 1.0, "merge_linear": 1.0}


def draw_shape(kind: str, rng: np.random.Generator, small: bool) -> Shape:
    """A network of about 0.1 to 0.4 MB in float32 (a tenth of it if `small`)."""
    if small:
        return Shape(kind, {"mlp": 48}.get(kind, 16), 2, 2)
    width = {"layernorm": (40, 48, 56), "rmsnorm": (40, 48, 56), "batchnorm": (32, 40, 48), "mlp": (128, 160, 192)}[
        kind
    ]
    return Shape(kind, int(rng.choice(width)), int(rng.integers(2, 4)), 4)
