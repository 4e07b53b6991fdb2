"""Which layers are compared: all of them, or the attention, dense or linear ones only."""

import re
from collections.abc import Callable, Sequence

from heritage.errors import BadInput
from heritage.recovery.architecture import Slot

_ATTENTION = re.compile(r"attention|attn|(^|[._])(query|key|value|qkv|[qkvo]_proj)([._]|$)")
_DENSE = re.compile(r"(^|[._])(dense|mlp|ffn|fc\d*|c_fc|intermediate|feed_forward|(up|down|gate)_proj)([._]|$)")
_EMBEDDING = re.compile(r"embed|wte|wpe")

LAYERS: dict[str, Callable[[Slot], bool]] = {
    "all": lambda _: True,
    "attention": lambda s: _ATTENTION.search(s.name) is not None,
    "dense": lambda s: _DENSE.search(s.name) is not None,
    "linear": lambda s: len(s.shape) == 2 and _EMBEDDING.search(s.name) is None,
}


def chosen(slots: Sequence[Slot], layers: str) -> list[Slot]:
    """Those of `slots` that belong to `layers`, a key of `LAYERS`; `BadInput` where none does."""
    kept = [s for s in slots if LAYERS[layers](s)]
    if slots and not kept:
        raise BadInput(f"no tensor belongs to the {layers} layers, e.g. not '{slots[0].name}'; compare all layers")
    return kept
