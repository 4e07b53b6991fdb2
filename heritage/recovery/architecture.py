"""Which models can be compared: those that share most of their tensors, by name and shape."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# running statistics, counters and rotary tables: what training keeps beside the weights
_BUFFER = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked|position_ids|inv_freq)$|rotary_emb")
_SHARED = 0.5


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a tensor: name and shape. Models that have a slot can be compared in it."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_matrix(self) -> bool:
        """Whether the tensor has two or more dimensions."""
        return len(self.shape) > 1


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model consists of: float tensors that are trained (`slots`), and buffers by name."""

    slots: frozenset[Slot]
    buffers: frozenset[str]

    @property
    def size(self) -> int:
        """Number of trained elements."""
        return sum(s.size for s in self.slots)


def is_buffer(name: str, is_float: bool) -> bool:
    """Whether a tensor is kept by training beside the weights: it is evidence, never part of a distance."""
    return not is_float or _BUFFER.search(name) is not None


def signature(tensors: Mapping[str, tuple[tuple[int, ...], bool]]) -> Signature:
    """The signature of a model from its tensors: name to (shape, whether it holds floats). Empty ones tell nothing."""
    trained = (Slot(n, shape) for n, (shape, is_float) in tensors.items() if not is_buffer(n, is_float))
    slots = frozenset(slot for slot in trained if slot.size)
    return Signature(slots, frozenset(n for n, (_, is_float) in tensors.items() if is_buffer(n, is_float)))


def group(signatures: Sequence[Signature]) -> list[list[int]]:
    """Positions of models of one architecture, groups and members in order of position.

    Two models belong together if the slots they share hold at least half the elements of each; belonging is carried on
    from model to model, so heads, vocabularies and added layers of other sizes do not part a family.
    """
    kinds: dict[Signature, list[int]] = {}
    for i, s in enumerate(signatures):
        kinds.setdefault(s, []).append(i)
    groups: list[tuple[list[Signature], list[int]]] = []
    for kind, members in kinds.items():
        near = [g for g in groups if any(_comparable(kind, other) for other in g[0])]
        merged = ([kind, *(k for g in near for k in g[0])], [*members, *(i for g in near for i in g[1])])
        groups = [g for g in groups if g not in near] + [merged]
    return sorted(sorted(members) for _, members in groups)


def _comparable(a: Signature, b: Signature) -> bool:
    shared = sum(s.size for s in a.slots & b.slots)
    return shared > 0 and shared >= _SHARED * max(a.size, b.size)


_HEAD = re.compile(r"(^|\.)(classifier|score|lm_head|head|fc|qa_outputs|out_proj_head)(\.|$)")


def is_head(slot: Slot, slots: frozenset[Slot] | set[Slot]) -> bool:
    """Whether a slot belongs to the output layer: by its name, or because models give the name several shapes."""
    return _HEAD.search(slot.name) is not None or any(s.name == slot.name and s != slot for s in slots)
