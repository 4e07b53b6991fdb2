"""Which end of an edge is the parent: what training does to norms, gains, biases and buffers, as features of a pair.

Every feature changes its sign with the direction, is free of scale, and is positive where the first model looks like
the parent. Gradients are nearly orthogonal to weights, so norms grow by the step: |C|^2 = |P|^2 + |C - P|^2, unless
weight decay has scaled P down; then <C, P> / <P, P> is the same factor in every decayed tensor, and <C, P> / <C, C>
is not. Biases start at zero and gains at one; both leave.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.distance import Distances
from heritage.recovery.scaling import Scaled

FEATURES = (
    "growth", "growth_each", "dispersion", "embedding", "gain", "bias",
    "batches", "filled", "grid", "scaled", "growth_still", "slope",
)  # fmt: skip
_TINY = 1e-30
_SPARSER = 0.05
_ENOUGH = 8  # tensors over which a dispersion is worth its full weight
Row = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Traits:
    """What single models show, each of shape (n,).

    `batches` seen by BatchNorm (NaN if unknown); share of exact `zeros` in matrices; whether matrices lie on a `grid`;
    whether pruning or quantisation of a model is `proved`.
    """

    batches: NDArray[np.float64]
    zeros: NDArray[np.float64]
    grid: NDArray[np.bool_]
    proved: NDArray[np.bool_]

    def sparser(self, p: int, c: int) -> int:
        """1 where p has clearly more zeros than c, -1 where c has, 0 else."""
        more = self.zeros[p] - self.zeros[c]
        return int(np.sign(more)) if abs(more) > _SPARSER else 0

    def off_grid(self, p: int, c: int) -> float:
        """1 where p is proved to be quantised and c is not so, -1 the other way round, 0 else.

        A model that was trained further leaves the grid. Without the proof the same picture may come from a trained
        child of a quantised model that is missing.
        """
        on, off = self.grid[p] & ~self.grid[c] & self.proved[p], self.grid[c] & ~self.grid[p] & self.proved[c]
        return float(on) - float(off)


@dataclass(frozen=True, slots=True)
class Looked:
    """What values of a pair show beyond norms: rows that only decayed, and zeros of one that the other filled.

    `filled` in [-1, 1] is positive where the first model looks like the parent; `taken` where pruning lies between the
    two, so that growth of norms tells nothing.
    """

    scaled: Scaled
    filled: float = 0.0
    taken: bool = False


def slot_classes(distances: Distances) -> dict[str, NDArray[np.bool_]]:
    """Which slots are matrices, embeddings, gains (vectors around one) or biases (other vectors)."""
    matrix = np.array([s.is_matrix for s in distances.slots], bool)
    embedding = matrix & np.array(["embed" in s.name or "wte" in s.name or "wpe" in s.name for s in distances.slots])
    present = np.isfinite(distances.sums)
    mean = np.nansum(distances.sums, axis=1) / np.maximum(present.sum(1), 1) / distances.sizes
    named = np.array(["norm" in s.name or "bn" in s.name or "ln_" in s.name for s in distances.slots])
    gain = (
        ~matrix
        & (mean > 0.4)
        & (named | (mean > 0.7))
        & np.array([not s.name.endswith("bias") for s in distances.slots])
    )
    return {"matrix": matrix & ~embedding, "embedding": embedding, "gain": gain, "bias": ~matrix & ~gain}


def features(
    distances: Distances, traits: Traits, classes: dict[str, NDArray[np.bool_]], p: int, c: int, looked: Looked
) -> NDArray[np.float64]:
    """The features of the pair (p, c), one for each of `FEATURES`."""
    d2 = distances.squared[:, p, c]
    np_, nc = distances.norms[:, p], distances.norms[:, c]
    inner = (np_ + nc - d2) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = (d2 > 1e-13 * (np_ + nc)) & (inner > 0.25 * (np_ + nc))  # changed, and not replaced
    matrix = classes["matrix"] & moved
    gain = classes["gain"] & np.isfinite(d2) & (d2 > 1e-13 * (np_ + nc))
    bias = classes["bias"] & np.isfinite(d2) & (d2 > 1e-13 * (np_ + nc))
    scaled, trained = looked.scaled, 0.0 if looked.taken else 1.0
    unknown = not (scaled.direction or scaled.still or scaled.partly or looked.taken)  # whether there was decay
    off_one = distances.norms - 2 * distances.sums + distances.sizes[:, None]  # squared distance from all ones
    return np.array(
        [
            _pooled(nc - np_, d2, np_ + nc, matrix) if unknown else 0.0,
            _mean_clipped(nc - np_, d2, matrix) if unknown else 0.0,
            trained * _dispersion(inner, np_, nc, distances.sizes, matrix | (classes["embedding"] & moved)),
            _mean_clipped(nc - np_, d2, classes["embedding"] & moved),
            _mean_clipped(off_one[:, c] - off_one[:, p], d2, gain),
            _mean_clipped(nc - np_, d2, bias),
            _sign(traits.batches[c] - traits.batches[p]),
            looked.filled,
            traits.off_grid(p, c),
            scaled.direction,
            trained * _mean_clipped(nc - np_, d2, matrix) if scaled.still and not scaled.direction else 0.0,
            trained * _slope(nc - np_, d2, np_ + nc, distances.sizes, matrix | (classes["embedding"] & moved)),
        ]
    )


def _pooled(change: Row, d2: Row, size: Row, use: NDArray[np.bool_]) -> float:
    if not use.any():
        return 0.0
    return float(np.tanh(change[use].sum() / np.sqrt(np.sum(d2[use] * size[use]) + _TINY)))


def _mean_clipped(change: Row, d2: Row, use: NDArray[np.bool_]) -> float:
    return float(np.clip(change[use] / (d2[use] + _TINY), -1, 1).mean()) if use.any() else 0.0


def _slope(change: Row, d2: Row, size: Row, count: Row, use: NDArray[np.bool_]) -> float:
    """Growth freed of decay: the slope over tensors of relative growth against the relative squared step.

    Decay adds the same to the relative growth of every tensor, so it goes into the intercept; what is left of
    |C|^2 = f^2 |P|^2 + |step|^2 is a slope near one. Fewer than three tensors tell nothing.
    """
    if use.sum() < 3:
        return 0.0
    x, y = 2 * d2[use] / size[use], 2 * change[use] / size[use]
    weight = np.sqrt(count[use]) / x
    weight /= weight.sum()
    x, y = x - weight @ x, y - weight @ y
    return float(np.tanh((weight * x) @ y / (weight @ x**2 + _TINY)))


def _dispersion(inner: Row, np_: Row, nc: Row, sizes: Row, use: NDArray[np.bool_]) -> float:
    if use.sum() < 3:
        return 0.0
    weight = np.sqrt(sizes[use])
    forward, backward = (_spread(inner[use] / n[use], weight) for n in (np_, nc))
    trust = min(1.0, (use.sum() - 2) / _ENOUGH)
    return float(trust * np.clip(np.log((backward + 1e-9) / (forward + 1e-9)), -2, 2))


def _spread(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    mean = np.average(values, weights=weight)
    return float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))


def _sign(x: float) -> float:
    return float(np.sign(x)) if np.isfinite(x) else 0.0
