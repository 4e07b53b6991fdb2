"""Evidence of descent in zero masks, for pruned models.

Two questions, in this order: did the child keep the parent's zeros (exact containment: one AND and a count)? If not,
does the child, pruned again to the parent's share per row, come out with the parent's mask (phi far above that of
unrelated models)? The second is symmetric and tells no direction. Its null is not 0: inputs shared by all models
shape all masks, so it is taken from unrelated models of the same shape, never from coin tosses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput
from heritage.masks.matrix import mask_of


@dataclass(frozen=True, slots=True)
class MaskEvidence:
    """What two weight matrices say of each other.

    `containment`: share of the parent's zeros that are zeros in the child (1.0: the child kept the mask); `phi`:
    correlation of both masks as they are; `hamming`, `repruned_phi`: share of places where the parent's mask and that
    of the child pruned again differ, and their correlation; `z`: standard deviations of `repruned_phi` above
    unrelated models, NaN without them.
    """

    containment: float
    phi: float
    hamming: float
    repruned_phi: float
    z: float = float("nan")

    @property
    def kept_mask(self) -> bool:
        """Whether the child has every zero of its parent."""
        return self.containment == 1.0


def evidence(
    parent: NDArray[np.float32], child: NDArray[np.float32], unrelated: Sequence[NDArray[np.float32]] = (),
    norms: NDArray[np.floating] | None = None,
) -> MaskEvidence:  # fmt: skip
    """Mask evidence for `child` (out, in) having come from the pruned `parent` of the same shape.

    `norms` (in,) of the layer's inputs make pruning again Wanda's, as the parent's was; without them it goes by
    magnitude and related masks agree less. `unrelated` are matrices of the same shape from other families, two or
    more for a z value. Raises `BadInput` for other shapes, or where the parent has no zeros and so no mask.
    """
    if parent.shape != child.shape or parent.ndim != 2:
        raise BadInput(f"masks of shapes {parent.shape} and {child.shape} cannot be compared; give one layer of each")
    kept, child_kept = mask_of(parent), mask_of(child)
    if kept.all() or not kept.any():
        raise BadInput("the parent has no mask: " + ("no weight is zero" if kept.all() else "every weight is zero"))
    null = [phi(kept, reprune(u, kept, norms)) for u in unrelated if u.shape == parent.shape]
    return _compared(kept, child_kept, reprune(child, kept, norms), null)


def between(
    parent: Mapping[str, NDArray[np.float32]], child: Mapping[str, NDArray[np.float32]],
    unrelated: Sequence[Mapping[str, NDArray[np.float32]]] = (),
) -> MaskEvidence:  # fmt: skip
    """Mask evidence over all matrices that two networks share by name and shape and that are pruned in the parent.

    Counts are added over the matrices before shares and correlations are taken, so large layers count more. Raises
    `BadInput` where no shared matrix of the parent has a mask.
    """
    names = sorted(n for n, w in parent.items() if n in child and w.shape == child[n].shape and _has_mask(w))
    if not names:
        raise BadInput("the parent has no mask that the child could share: no matrix of equal name and shape has zeros")
    kept = _flat(parent, names)
    fitting = [u for u in unrelated if all(n in u and u[n].shape == parent[n].shape for n in names)]
    null = [phi(kept, _again(u, parent, names)) for u in fitting]
    return _compared(kept, _flat(child, names), _again(child, parent, names), null)


def _compared(
    kept: NDArray[np.bool_], own: NDArray[np.bool_], again: NDArray[np.bool_], unrelated: Sequence[float]
) -> MaskEvidence:
    """The parent's mask against the child's own and against that of the child pruned again."""
    null, found = np.asarray(unrelated, dtype=np.float64), phi(kept, again)
    z = float((found - null.mean()) / null.std(ddof=1)) if len(null) > 1 and null.std(ddof=1) > 0 else float("nan")
    containment = float((~kept & ~own).sum() / (~kept).sum())
    return MaskEvidence(containment, phi(kept, own), float((kept != again).mean()), found, z)


def _has_mask(weights: NDArray[np.float32]) -> bool:
    kept = mask_of(weights)
    return bool(weights.ndim == 2 and kept.any() and not kept.all())


def _flat(tensors: Mapping[str, NDArray[np.float32]], names: Sequence[str]) -> NDArray[np.bool_]:
    return np.concatenate([mask_of(tensors[name]).ravel() for name in names])


def _again(
    tensors: Mapping[str, NDArray[np.float32]], like: Mapping[str, NDArray[np.float32]], names: Sequence[str]
) -> NDArray[np.bool_]:
    return np.concatenate([reprune(tensors[name], mask_of(like[name])).ravel() for name in names])


def reprune(
    weights: NDArray[np.float32], like: NDArray[np.bool_], norms: NDArray[np.floating] | None = None
) -> NDArray[np.bool_]:
    """Mask of `weights` when each row keeps as many as `like` keeps there: those of largest |w| (times input norm).

    Ties: the higher index stays.
    """
    order = np.argsort(np.abs(weights) * (1.0 if norms is None else norms), axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(weights.shape[1]), order.shape), axis=1)
    return np.asarray(rank >= weights.shape[1] - like.sum(axis=1)[:, None])


def phi(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Correlation of two masks (phi coefficient); NaN where either is constant."""
    p, q = float(a.mean()), float(b.mean())
    spread = p * (1 - p) * q * (1 - q)
    return (float((a & b).mean()) - p * q) / spread**0.5 if spread > 0 else float("nan")
