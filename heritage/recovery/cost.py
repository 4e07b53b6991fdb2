"""What a tree edge costs: the squared distance, comparable where heads were replaced, dearer where more changed."""

import numpy as np
from numpy.typing import NDArray

from heritage.recovery.family import Family

_REPLACED = 0.5  # cosine under which a head shares nothing with another one
_CHANGED = 3.0

Matrix = NDArray[np.float64]


def edge_costs(family: Family) -> Matrix:
    """Cost of every pair (n, n), infinite on the diagonal.

    Squared distances add up over the slots of a pair; those of matrices are freed of directions that all of the family
    moves along. A head that was replaced, or has another shape, counts the same for every pair that it parts, more than
    any head that was trained. The sum is multiplied by one plus `_CHANGED` times the share of tensors that differ: who
    shares frozen or untouched tensors bit for bit is the nearer relative.
    """
    d = family.distances
    total = np.zeros(d.squared.shape[1:])
    for k, squared in enumerate(d.squared):
        replaced = replaced_pairs(family, k)
        kept = np.where(replaced, 0.0, np.nan_to_num(squared))
        if d.slots[k].is_matrix and not family.heads[k]:
            kept *= family.white
        total += kept + replaced * 1.5 * kept.max(initial=0.0)
    total *= 1.0 + _CHANGED * changed_share(family)
    np.fill_diagonal(total, np.inf)
    return total


def replaced_pairs(family: Family, k: int) -> NDArray[np.bool_]:
    """Pairs between which slot k was replaced: one of them lacks it, or it is a head that shares nothing."""
    squared, norm = family.distances.squared[k], family.distances.norms[k]
    if not (family.heads[k] and family.stack.slots[k].is_matrix):
        return np.asarray(~np.isfinite(squared))
    with np.errstate(invalid="ignore"):
        inner = (norm[:, None] + norm[None, :] - squared) / 2
        return np.asarray(~(inner >= _REPLACED * np.sqrt(np.outer(norm, norm))))


def changed_share(family: Family) -> Matrix:
    """Share of the slots of each pair, heads apart, whose sampled values are not all equal."""
    both = np.isfinite(family.equal) & ~family.heads[:, None, None]
    changed = both & (np.nan_to_num(family.equal) < 1.0)
    return np.asarray(changed.sum(0) / np.maximum(both.sum(0), 1))
