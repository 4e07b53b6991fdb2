"""Fingerprints: what fleet-wide work needs to know of a checkpoint, from reading each of its bytes once.

Moments, zero masks, value grids and counters per tensor, and linear sketches from which squared distances between
models follow. Everything is computed on blocks that begin at the start of their tensor, so chunk size, order of
files and shard split change no bit of the result.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput, NotFound
from heritage.names import printable
from heritage.weights.fingerprint_sample import places
from heritage.weights.grid import GridEvidence
from heritage.weights.moments import TensorMoments
from heritage.weights.sketch import fold

SKETCH_BUDGET = 10_240  # float32 of all tensors' own sketches together
WHOLE = 1024  # buckets of the sketch of all tensors together
# what BatchNorm keeps beside its weights: clocks and statistics, not steps of training
_BUFFERS = frozenset(["running_mean", "running_var", "num_batches_tracked"])


@dataclass(frozen=True, slots=True)
class TensorPrint:
    """One tensor: all floats are float64; `skewness` and excess `kurtosis` are 0 where the variance is.

    Moments are over finite values, with `non_finite` ones counted as 0. `mask`: hash of the positions of zeros,
    0 without zeros. `digest`: first 128 bits of the SHA-256 of type, shape and bytes, '' where it was not asked for.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    count: int
    squares: float
    mean: float
    variance: float
    skewness: float
    kurtosis: float
    minimum: float
    maximum: float
    zeros: int
    non_finite: int
    mask: int
    grid: GridEvidence
    digest: str

    @property
    def norm(self) -> float:
        """Euclidean (Frobenius) norm."""
        return float(np.sqrt(self.squares))

    @property
    def is_buffer(self) -> bool:
        """True for the running statistics of normalisation layers, which belong in no distance."""
        return is_buffer(self.name)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """One model. Arrays run over `names`, in name order, shape (T,).

    `digest` is the checkpoint's, '' where digests were not asked for. `sketch` float32 (WHOLE,) is over all float
    tensors but buffers. `own_sketches` holds each tensor's own, one after the other, `widths[i]` floats each.
    `counters` are the values of BatchNorm's `num_batches_tracked`. `segments[i]` rows of each tensor have a stretch of
    values in `sampled`, one after the other, `spans[i]` long where there are as many (`fingerprint_sample.places`);
    0 everywhere in fingerprints of format 1.
    """

    digest: str
    names: tuple[str, ...]
    dtypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    moments: TensorMoments
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    zeros: NDArray[np.int64]
    non_finite: NDArray[np.int64]
    masks: NDArray[np.uint64]
    grids: tuple[GridEvidence, ...]
    digests: tuple[str, ...]
    sketch: NDArray[np.float32]
    widths: NDArray[np.int64]
    own_sketches: NDArray[np.float32]
    counters: Mapping[str, int] = field(default_factory=dict)
    segments: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    spans: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    sampled: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Place of each tensor name in the arrays."""
        return {name: i for i, name in enumerate(self.names)}

    @cached_property
    def architecture(self) -> str:
        """SHA-256 over names and shapes of all tensors but buffers: equal for models that fit tensor by tensor.

        Types do not count, so a copy in another precision has the same.
        """
        lines = [f"{n!r} {s}\n" for n, s in zip(self.names, self.shapes, strict=True) if not is_buffer(n)]
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Number of elements of each tensor."""
        return np.array([int(np.prod(s, dtype=np.int64)) for s in self.shapes], np.int64)

    @property
    def parameters(self) -> int:
        """Number of elements of all tensors."""
        return int(self.sizes.sum())

    def place(self, name: str) -> int:
        """Place of the tensor called `name` in the arrays, else `NotFound`."""
        if name not in self.index:
            raise NotFound(f"fingerprint has no tensor '{printable(name)}'; it has {len(self.names)} others")
        return self.index[name]

    def tensor(self, name: str) -> TensorPrint:
        """What is known of the tensor called `name`, else `NotFound`."""
        i = self.place(name)
        m = self.moments
        return TensorPrint(
            name=name,
            dtype=self.dtypes[i],
            shape=self.shapes[i],
            count=int(self.sizes[i]),
            squares=float(m.squares[i]),
            mean=float(m.mean[i]),
            variance=float(m.variance[i]),
            skewness=float(m.skewness[i]),
            kurtosis=float(m.kurtosis[i]),
            minimum=float(self.minimum[i]),
            maximum=float(self.maximum[i]),
            zeros=int(self.zeros[i]),
            non_finite=int(self.non_finite[i]),
            mask=int(self.masks[i]),
            grid=self.grids[i],
            digest=self.digests[i],
        )

    def own_sketch(self, name: str) -> NDArray[np.float32]:
        """The tensor's own sketch, a view of shape (w,), w a power of two or 0."""
        i = self.place(name)
        return self.own_sketches[self._starts[i] : self._starts[i + 1]]

    def stretches(self, name: str) -> NDArray[np.float32]:
        """The values kept of some rows of a tensor, of the shape of their `places`: (0, 0) where there are none."""
        i = self.place(name)
        where = self._places[i]
        return self.sampled[self._sample_starts[i] : self._sample_starts[i + 1]].reshape(where.shape)

    def stretch_places(self, name: str) -> NDArray[np.int64]:
        """Where the values of `stretches` lie in the flat tensor."""
        return self._places[self.place(name)]

    @cached_property
    def _places(self) -> list[NDArray[np.int64]]:
        nothing = np.zeros(len(self.names), np.int64)
        kept = (self.segments, self.spans) if len(self.segments) else (nothing, nothing)
        each = zip(self.names, self.dtypes, self.shapes, *(k.tolist() for k in kept), strict=True)
        return [places(name, dtype, shape, count, span) for name, dtype, shape, count, span in each]

    @cached_property
    def _sample_starts(self) -> NDArray[np.int64]:
        return np.append(0, np.cumsum([p.size for p in self._places])).astype(np.int64)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.append(0, np.cumsum(self.widths))


def is_buffer(name: str) -> bool:
    """True for a tensor that BatchNorm keeps beside its weights, told by the name that every framework export uses."""
    return name.rpartition(".")[2] in _BUFFERS


def common_tensors(prints: Sequence[Fingerprint]) -> list[str]:
    """Names of float tensors, without buffers, that all models have in one shape: the comparable part."""
    first, *others = prints
    return [
        name
        for name, shape, width in zip(first.names, first.shapes, first.widths, strict=True)
        if width
        and not is_buffer(name)
        and all(name in p.index and p.shapes[p.index[name]] == shape and p.widths[p.index[name]] for p in others)
    ]


def stacked_sketches(
    prints: Sequence[Fingerprint], names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Own sketches of the tensors `names` of all models side by side, float64 (N, K), and where each begins, (T,).

    A tensor is folded to the smallest width that any model keeps of it. `||row_i - row_j||^2` estimates the squared
    distance of models i and j over these tensors, and over one tensor from its columns alone. Raises `BadInput` for
    a tensor whose shapes differ and `NotFound` for one that a model lacks.
    """
    columns, starts = [], [0]
    for name in names:
        places = [p.place(name) for p in prints]
        shapes = {p.shapes[i] for p, i in zip(prints, places, strict=True)}
        if len(shapes) > 1:
            raise BadInput(f"tensor '{printable(name)}' has shapes {sorted(shapes)}; compare models where it has one")
        width = min(int(p.widths[i]) for p, i in zip(prints, places, strict=True))
        if width:
            columns.append(np.stack([_folded(p.own_sketch(name), width) for p in prints]))
        starts.append(starts[-1] + width)
    joined = np.concatenate(columns, axis=1, dtype=np.float64) if columns else np.zeros((len(prints), 0))
    return joined, np.array(starts[:-1], np.int64)


def _folded(sketch: NDArray[np.float32], width: int) -> NDArray[np.floating]:
    return sketch if sketch.size == width else fold(sketch.astype(np.float64), width)
