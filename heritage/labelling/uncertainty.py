"""Scores from one model's probabilities (n, classes); larger is more uncertain (Settles 2009, section 3.1)."""

import numpy as np
from numpy.typing import NDArray

from heritage.labelling.pool import Floats


def entropy(probabilities: Floats) -> NDArray[np.float64]:
    """Shannon entropy in nats (n,)."""
    p = np.clip(probabilities.astype(np.float64), 1e-300, 1.0)
    result: NDArray[np.float64] = -(p * np.log(p)).sum(axis=1)
    return result


def margin(probabilities: Floats) -> NDArray[np.float64]:
    """Minus the lead of the first class over the second (n,); 0 where two share the top."""
    if probabilities.shape[1] < 2:
        return np.zeros(len(probabilities))
    top = np.partition(probabilities.astype(np.float64), -2, axis=1)[:, -2:]
    result: NDArray[np.float64] = top[:, 0] - top[:, 1]
    return result


def least_confidence(probabilities: Floats) -> NDArray[np.float64]:
    """One minus the probability of the likeliest class (n,)."""
    result: NDArray[np.float64] = 1.0 - probabilities.astype(np.float64).max(axis=1)
    return result
