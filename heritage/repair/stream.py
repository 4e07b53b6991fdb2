"""The tensors of a repaired model as bytes, a megabyte at a time.

Every tensor is read by position from the drifted model's file and its donors', mixed, and given out in the drifted
model's own layout; memory stays at one buffer a file, whatever the models' size.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from heritage.errors import BadInput
from heritage.names import printable
from heritage.repair.plan import RepairPlan
from heritage.repair.tensors import State, combine, finish
from heritage.repair.vector import difference
from heritage.weights.checkpoint import Checkpoint, TensorInfo
from heritage.weights.dtypes import torch_dtype

# a piece that stays in the processor's cache while it is read, mixed, hashed and written: 16 MB pieces cost twice the
# CPU time, pieces under 512 kB no less
PIECE_BYTES = 2**20


@dataclass
class Mixture:
    """What a plan does to files: the drifted model, its donors with coefficients other than 0, tensors to replace.

    `reach` maps a tensor's name to the donors that move it; all others are copied.
    """

    drifted: Checkpoint
    donors: Mapping[str, Checkpoint]
    coefficients: Mapping[str, float]
    masked: frozenset[str]
    replaced: State
    reach: Mapping[str, tuple[str, ...]]
    _buffers: dict[tuple[str, int], "np.ndarray[tuple[int], np.dtype[np.uint8]]"] = field(default_factory=dict)

    def bytes_of(self, info: TensorInfo) -> Iterator[memoryview]:
        """The repaired tensor's bytes in order; a piece is valid until the next one is asked for."""
        if info.name in self.replaced:
            yield _bytes(self.replaced[info.name])
        elif not self.reach.get(info.name):
            yield from self.drifted.chunks(info.name, PIECE_BYTES)
        else:
            yield from self._mixed(info)

    def _mixed(self, info: TensorInfo) -> Iterator[memoryview]:
        names = self.reach[info.name]
        masked = info.name in self.masked
        # what is looked at again after mixing may not be overwritten by it
        in_place = not masked and not info.name.endswith("running_var")
        step = PIECE_BYTES // torch_dtype(info.dtype).itemsize
        for first in range(0, info.count, step):
            count = min(step, info.count - first)
            start = self._read("", self.drifted, info.name, first, count)
            others = [self._read(d, self.donors[d], info.name, first, count) for d in names]
            mixed = combine(start, others, [self.coefficients[d] for d in names], in_place)
            yield _bytes(finish(info.name, mixed, start, others, masked))

    def _read(self, key: str, source: Checkpoint, name: str, first: int, count: int) -> Tensor:
        kind = torch_dtype(source.tensors[name].dtype)
        size = count * kind.itemsize
        # one buffer a file, kept between chunks: fresh memory would be paged in anew each time
        buffer = self._buffers.setdefault((key, kind.itemsize), np.empty(PIECE_BYTES * 2, np.uint8))
        if size > len(buffer):
            buffer = self._buffers[key, kind.itemsize] = np.empty(size, np.uint8)
        source.read_into(name, first * kind.itemsize, buffer[:size])
        return torch.from_numpy(buffer[:size]).view(kind)


def make_mixture(
    plan: RepairPlan, drifted: Checkpoint, donors: Mapping[str, Checkpoint], replaced: State | None
) -> Mixture:
    """The mixture that `plan` asks for.

    `replaced` is the state of a recipe that is no plain mix (`heritage.repair.search.realise`); such recipes raise
    `BadInput` without it. Donors are checked for quantised weights and unmerged adapters.
    """
    if not plan.recipe.streams and replaced is None:
        raise BadInput(
            f"plan {plan.hash[:12]} (rung {plan.recipe.rung}) is more than a mix of files; give the state that "
            "`realise` makes from it"
        )
    for name, tensor in (replaced or {}).items():
        _check_replaced(name, tensor, drifted)
    coefficients = {d: a for d, a in plan.recipe.coefficients.items() if a != 0.0}
    outline = _outline(drifted)
    vectors = {} if replaced is not None else {d: difference(_outline(donors[d]), outline) for d in coefficients}
    reach = {n: tuple(d for d, v in vectors.items() if n in v and n not in plan.left) for n in outline}
    used = {d: donors[d] for d in vectors}
    return Mixture(drifted, used, coefficients, frozenset(plan.masked), dict(replaced or {}), reach)


def _check_replaced(name: str, tensor: Tensor, drifted: Checkpoint) -> None:
    info = drifted.info(name)
    if tuple(tensor.shape) != info.shape or tensor.dtype is not torch_dtype(info.dtype):
        raise BadInput(
            f"tensor '{printable(name)}' is {tensor.dtype} {tuple(tensor.shape)}, the file holds {info.dtype} "
            f"{info.shape}; give the state made from this very file"
        )


def _outline(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Names, types and shapes without values, so that files and states follow the same rules."""
    return {
        n: torch.empty(info.shape, dtype=torch_dtype(info.dtype), device="meta")
        for n, info in checkpoint.tensors.items()
    }


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
