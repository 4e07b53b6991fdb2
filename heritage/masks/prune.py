"""Pruning of a linear layer without training: magnitude, Wanda, SparseGPT.

All take weights (out, in) and the layer's inputs (n, in) from a few calibration rows and return the pruned weights.
Wanda: Sun et al. 2023, arXiv 2306.11695. SparseGPT: Frantar and Alistarh 2023, arXiv 2301.00774.
"""

import numpy as np
from numpy.typing import NDArray

from heritage.errors import BadInput

METHODS = ("wanda", "sparsegpt", "magnitude")
_DAMPING = 0.01  # of the mean diagonal, so that the inverse exists for inputs that never fire
_BLOCK = 128  # columns that SparseGPT chooses zeros among at a time


def prune(
    weights: NDArray[np.float32], inputs: NDArray[np.float32], method: str, sparsity: float = 0.5
) -> NDArray[np.float32]:
    """`weights` with about the share `sparsity` of each row (Wanda, magnitude) or block (SparseGPT) set to zero.

    Raises `BadInput` for an unknown method, a share outside (0, 1) or inputs of another width.
    """
    if method not in METHODS:
        raise BadInput(f"pruning method '{method}' is not known; choose one of {', '.join(METHODS)}")
    if not 0 < sparsity < 1:
        raise BadInput(f"sparsity {sparsity} is not between 0 and 1")
    if inputs.ndim != 2 or inputs.shape[1] != weights.shape[1] or not len(inputs):
        raise BadInput(
            f"calibration inputs have shape {inputs.shape}; weights {weights.shape} need (n, {weights.shape[1]})"
        )
    if method == "sparsegpt":
        return _sparsegpt(weights, inputs, sparsity)
    norms = np.linalg.norm(inputs.astype(np.float64), axis=0) if method == "wanda" else np.ones(weights.shape[1])
    return np.where(kept(np.abs(weights) * norms, sparsity), weights, 0).astype(np.float32)


def kept(scores: NDArray[np.floating], sparsity: float) -> NDArray[np.bool_]:
    """Which entries of each row stay when the share `sparsity` with the lowest scores goes (ties: lower index goes)."""
    n_zero = round(scores.shape[1] * sparsity)
    order = np.argsort(scores, axis=1, kind="stable")
    stays = np.ones(scores.shape, dtype=np.bool_)
    np.put_along_axis(stays, order[:, :n_zero], False, axis=1)
    return stays


def _sparsegpt(weights: NDArray[np.float32], inputs: NDArray[np.float32], sparsity: float) -> NDArray[np.float32]:
    """Column by column, what pruning takes away is made up for by the columns to its right."""
    from scipy.linalg import cholesky, inv

    x = inputs.astype(np.float64)
    hessian = 2 * x.T @ x / len(x)
    dead = np.diag(hessian) == 0
    hessian[dead, dead] = 1.0
    hessian[np.diag_indices_from(hessian)] += _DAMPING * np.diag(hessian).mean()
    inverse = cholesky(inv(hessian), lower=False)
    w = weights.astype(np.float64)
    w[:, dead] = 0.0
    for start in range(0, w.shape[1], _BLOCK):
        _prune_block(w, inverse, slice(start, min(start + _BLOCK, w.shape[1])), sparsity)
    return w.astype(np.float32)


def _prune_block(w: NDArray[np.float64], inverse: NDArray[np.float64], part: slice, sparsity: float) -> None:
    scores = w[:, part] ** 2 / np.diag(inverse)[part] ** 2
    limit = np.sort(scores, axis=None)[int(scores.size * sparsity)]
    zero = scores < limit
    errors = np.zeros((len(w), part.stop - part.start))
    for c, column in enumerate(range(part.start, part.stop)):
        pruned = np.where(zero[:, c], 0.0, w[:, column])
        errors[:, c] = (w[:, column] - pruned) / inverse[column, column]
        w[:, column : part.stop] -= np.outer(errors[:, c], inverse[column, column : part.stop])
        w[:, column] = pruned
    w[:, part.stop :] -= errors @ inverse[part, part.stop :]
