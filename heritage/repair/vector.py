"""Task and repair vectors: named differences between two models, computed when asked for.

A *repair vector* is donor - drifted; a *task vector* is fine-tuned - root (Ilharco et al., arXiv 2212.04089). Adding
a share `a` of a repair vector walks the line from the drifted model (a = 0) to the donor (a = 1), as in WiSE-FT
(arXiv 2109.01903). `apply` knows the rules of every kind of tensor; see `heritage.repair.tensors`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from heritage.errors import BadInput
from heritage.names import printable
from heritage.repair.tensors import (
    State,
    TensorClass,
    check_arithmetic,
    check_finite,
    combine,
    finish,
    is_pruned,
    tensor_class,
    tied_names,
    work_dtype,
)


class Left(NamedTuple):
    """A tensor that arithmetic leaves as the drifted model has it, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Vector(Mapping[str, Tensor]):
    """Named tensors that are computed when they are read; `left` lists what the vector does not reach.

    `donor` is the model that the vector leads to, where it is a plain difference: `apply` then uses `torch.lerp`.
    """

    names: tuple[str, ...]
    compute: Callable[[str], Tensor]
    left: tuple[Left, ...] = ()
    donor: State | None = None

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._known:
            raise KeyError(name)
        return self.compute(name)

    def __contains__(self, name: object) -> bool:
        return name in self._known

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __mul__(self, factor: float) -> "Vector":
        """Every tensor times `factor` (finite)."""
        _check_coefficient(factor)
        return Vector(self.names, lambda name: self.compute(name) * factor, self.left)

    __rmul__ = __mul__

    def __add__(self, other: "Vector") -> "Vector":
        """The sum; a tensor that only one of the two has is taken as it is."""
        names = tuple(dict.fromkeys((*self.names, *other.names)))
        return Vector(names, lambda name: _sum(self, other, name), (*self.left, *other.left))


def _sum(one: Vector, other: Vector, name: str) -> Tensor:
    if name not in one:
        return other[name]
    return one[name] + other[name] if name in other else one[name]


def difference(donor: State, drifted: State) -> Vector:
    """The repair vector donor - drifted over the tensors that both have in the same shape, float32.

    Different heads, integer buffers and the later names of tied tensors are listed in `left`. Raises `BadInput` where
    a tensor is quantised, an unmerged LoRA factor, or holds NaN or infinity (on reading), and where nothing is shared.
    """
    tied = tied_names(drifted)
    left: list[Left] = []
    names: list[str] = []
    for name, tensor in drifted.items():
        reason = _why_left(name, tensor, donor, tied)
        names.append(name) if reason is None else left.append(Left(name, reason))
    left += [Left(name, "only the donor has it") for name in donor if name not in drifted]
    if not names:
        raise BadInput(
            f"donor and drifted model share no tensor of the same name and shape ({len(donor)} and {len(drifted)} "
            "tensors); choose a donor of the same architecture"
        )
    return Vector(tuple(names), lambda name: _subtract(donor, drifted, name), tuple(left), donor)


def _why_left(name: str, tensor: Tensor, donor: State, tied: Mapping[str, str]) -> str | None:
    check_arithmetic(name, tensor, "drifted model")
    if name in tied:
        return f"tied to {printable(tied[name])}"
    if name not in donor:
        return "only the drifted model has it"
    check_arithmetic(name, donor[name], "donor")
    if tensor_class(name, tensor) is TensorClass.BUFFER:
        return "a counter or mask, copied from the drifted model"
    if not donor[name].dtype.is_floating_point:
        return f"the donor holds {donor[name].dtype}"
    if donor[name].shape != tensor.shape:
        return f"shape {tuple(tensor.shape)}, the donor has {tuple(donor[name].shape)}"
    return None


def _subtract(donor: State, drifted: State, name: str) -> Tensor:
    check_finite(name, donor[name], "donor")
    check_finite(name, drifted[name], "drifted model")
    kind = work_dtype(drifted[name])
    return donor[name].to(kind) - drifted[name].to(kind)


def apply(drifted: State, vectors: Sequence[Vector], coefficients: Sequence[float]) -> dict[str, Tensor]:
    """drifted + sum_i coefficients[i] * vectors[i], as a complete state in the drifted model's dtypes.

    One repair vector is exactly `torch.lerp` in float32; a coefficient of 0 for all gives the drifted model back bit
    for bit. Tied tensors stay one memory; pruned zeros, counters and different heads stay. Raises `BadInput` naming
    the tensor or coefficient that is not finite.
    """
    for a in coefficients:
        _check_coefficient(a)
    active = [(v, float(a)) for v, a in zip(vectors, coefficients, strict=True) if a != 0.0]
    tied = tied_names(drifted)
    out: dict[str, Tensor] = {}
    for name, tensor in drifted.items():
        out[name] = out[tied[name]] if name in tied else _moved(name, tensor, active)
    return out


def _moved(name: str, tensor: Tensor, active: Sequence[tuple[Vector, float]]) -> Tensor:
    here = [(v, a) for v, a in active if name in v]
    if not here:
        return tensor.clone()
    check_finite(name, tensor, "drifted model")
    masked = is_pruned(name, tensor)
    if all(v.donor is not None for v, _ in here):
        donors = [v.donor[name] for v, _ in here if v.donor is not None]
        for donor in donors:
            check_finite(name, donor, "donor")
        return finish(name, combine(tensor, donors, [a for _, a in here]), tensor, donors, masked)
    value = tensor.to(work_dtype(tensor)).clone()
    for vector, a in here:
        value += a * vector[name]
    return finish(name, value, tensor, [], masked)


def interpolate(drifted: State, donor: State, a: float) -> dict[str, Tensor]:
    """The model a share `a` of the way from `drifted` to `donor`."""
    return apply(drifted, [difference(donor, drifted)], [a])


def norm(vector: Vector, kinds: Sequence[TensorClass] | None = None) -> float:
    """Euclidean norm over all tensors of `vector` (or of the classes `kinds`), summed in float64."""
    squares = (float(t.double().square().sum()) for name, t in vector.items() if _wanted(name, t, kinds))
    return math.sqrt(math.fsum(squares))


def _wanted(name: str, tensor: Tensor, kinds: Sequence[TensorClass] | None) -> bool:
    return kinds is None or tensor_class(name, tensor) in kinds


def state_norm(state: State) -> float:
    """Euclidean norm of all float tensors of a model, tied ones once."""
    tied = tied_names(state)
    floats = (t for n, t in state.items() if t.dtype.is_floating_point and n not in tied)
    return math.sqrt(math.fsum(float(t.double().square().sum()) for t in floats))


def cosine(one: Vector, other: Vector) -> float:
    """Cosine between two vectors over the tensors that both have; 0 where one of them is zero there."""
    shared = [name for name in one.names if name in other]
    dot = squares = other_squares = 0.0
    for name in shared:
        a, b = one[name].double(), other[name].double()
        dot += float((a * b).sum())
        squares += float(a.square().sum())
        other_squares += float(b.square().sum())
    return dot / math.sqrt(squares * other_squares) if squares and other_squares else 0.0


def trim(vector: Vector, keep: float) -> Vector:
    """The share `keep` of the largest entries by magnitude over the whole vector, the rest zero (TIES, 2306.01708).

    Statistics are never trimmed: they belong to the weights as a whole. Cost: one copy of all magnitudes.
    """
    if not 0.0 < keep <= 1.0:
        raise BadInput(f"keep is {keep}; the share of entries to keep must lie in (0, 1]")
    sizes = [t.abs().flatten() for n, t in vector.items() if tensor_class(n, t) is not TensorClass.STATISTIC]
    if not sizes:
        return vector
    flat = torch.cat(sizes)
    limit = flat.kthvalue(flat.numel() - max(1, round(keep * flat.numel())) + 1).values

    def trimmed(name: str) -> Tensor:
        tensor = vector[name]
        whole = tensor_class(name, tensor) is TensorClass.STATISTIC
        return tensor if whole else torch.where(tensor.abs() >= limit, tensor, 0.0)

    return Vector(vector.names, trimmed, vector.left)


def _check_coefficient(a: float) -> None:
    if not math.isfinite(a):
        raise BadInput(f"coefficient is {a}; it must be a finite number")
