"""How much of a distance lies in directions that all models of a family move along.

Fine-tunes of one family share inputs, so their steps share directions, and steps of siblings are not orthogonal: a
long step looks nearer to a sibling's short one than to the parent. Matrices whose rows and columns are whitened by the
covariance of the family's own steps are freer of that.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from heritage.recovery.family import Family

_POWER = -0.5
_RIDGE = 2.0  # in mean eigenvalues: directions that hardly move are not blown up
_LEAST = 8  # rows and columns in which directions can be told
_READ = 8  # matrices of models that are too large to be kept: a few blocks tell most of it

Matrix = NDArray[np.float64]


def whitened_share(family: "Family") -> Matrix:
    """Whitened over plain squared distance of every pair, (n, n), about one; over blocks of matrices, heads apart.

    A slot counts by the mean distance over it. Pairs that no block tells anything of have 1.
    """
    n = family.count
    plain, white = np.zeros((n, n)), np.zeros((n, n))
    for k, here, block in _blocks(family):
        before = _squared(block)
        after = _squared(_whitened(block, _steps(block, before)))
        energy = np.nansum(family.distances.squared[k][np.ix_(here, here)])
        if before.sum() > 0 and after.sum() > 0:
            plain[np.ix_(here, here)] += energy * before / before.sum()
            white[np.ix_(here, here)] += energy * after / after.sum()
    share = np.divide(white, plain, out=np.ones((n, n)), where=plain > 0)
    np.fill_diagonal(share, 1.0)
    return share


def _blocks(family: "Family") -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.float32]]]:
    """Slot, the members that have it, and their centred values in a block of it: (members, rows, columns)."""
    matrices = [k for k, slot in enumerate(family.stack.slots) if slot.is_matrix and not family.heads[k]]
    if family.stack.streams and len(matrices) > _READ:
        matrices = [matrices[i] for i in np.linspace(0, len(matrices) - 1, _READ).round().astype(int)]
    for k in matrices:
        here = np.flatnonzero([family.present(i)[k] for i in range(family.count)])
        if len(here) < 3:
            continue
        block = family.block(here.tolist(), k)
        if min(block.shape[1:]) >= _LEAST:
            yield k, here, block - block.mean(0)


def _steps(block: NDArray[np.float32], squared: Matrix) -> NDArray[np.float32]:
    """The step of every member to its nearest relative, all of one length: no long one stands for all."""
    apart = np.where(squared > 0, squared, np.inf)
    nearest = apart.argmin(1)
    length = np.sqrt(apart[np.arange(len(block)), nearest])
    return np.asarray((block - block[nearest]) / length[:, None, None].astype(np.float32))


def _whitened(block: NDArray[np.float32], steps: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = block.shape[1:]
    across = steps.transpose(1, 0, 2).reshape(rows, -1)
    along = steps.reshape(-1, columns)
    left, right = _root(across @ across.T), _root(along.T @ along)
    return np.asarray(left @ block @ right)


def _root(covariance: NDArray[np.float32]) -> NDArray[np.float32]:
    """The symmetric power `_POWER` of a covariance with a ridge."""
    value, vector = np.linalg.eigh(covariance.astype(np.float64))
    value = np.maximum(value, 0.0)
    value += _RIDGE * value.mean() + 1e-300
    scaled = (value / value.max()) ** _POWER
    return np.asarray((vector * scaled) @ vector.T, np.float32)


def _squared(block: NDArray[np.float32]) -> Matrix:
    flat = block.reshape(len(block), -1)
    gram = (flat @ flat.T).astype(np.float64)
    own = np.diag(gram)
    out = np.maximum(own[:, None] + own[None, :] - 2 * gram, 0.0)
    np.fill_diagonal(out, 0.0)
    return np.asarray(out)
