"""A test that may be looked at after every row: wealth of bets against "the mean is at most mu".

For losses in [0, 1] with conditional mean at most mu, the wealth prod(1 + s (x_t - mu)) of any fixed stake s in
[0, 1/mu] has expectation at most 1 at every time, whatever the time one stops (Ville), and so has its mean over several
stakes. Wealth above 1/alpha therefore comes with probability at most alpha. Waudby-Smith & Ramdas, "Estimating means
of bounded random variables by betting" (2020).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

STAKES = 12


def log_wealth(losses: NDArray[np.float64], mean_bound: float) -> float:
    """Log of the largest wealth reached on the way through `losses` (n,), bet against a mean above `mean_bound`.

    A bound of 1 cannot be exceeded: the wealth stays 1.
    """
    if len(losses) == 0 or mean_bound >= 1.0:
        return 0.0
    bound = max(mean_bound, 1e-6)
    stakes = 0.95 / bound * 0.5 ** np.arange(STAKES)
    paths = np.cumsum(np.log1p(np.outer(stakes, losses - bound)), axis=1)
    mixture = special.logsumexp(paths, axis=0) - np.log(STAKES)
    return max(0.0, float(mixture.max()))


def upper_bound_of_share(hits: int, rows: int, alpha: float) -> float:
    """Upper confidence bound of a share (Clopper and Pearson): exceeded with probability at most alpha."""
    return 1.0 if hits >= rows else float(stats.beta.ppf(1.0 - alpha, hits + 1, rows - hits))


def upper_bound_of_mean(mean: float, variance: float, rows: int, alpha: float) -> float:
    """Upper confidence bound of the mean of values in [0, 1] (empirical Bernstein; Maurer and Pontil 2009).

    `variance` has rows - 1 in the denominator.
    """
    if rows < 2:
        return 1.0
    room = np.log(2.0 / alpha)
    return min(1.0, float(mean + np.sqrt(2.0 * variance * room / rows) + 7.0 * room / (3.0 * (rows - 1))))
