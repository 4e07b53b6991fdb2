"""A logistic adoption curve fitted to monthly counts, with intervals and a check of what the data can tell.

    share(t) = ceiling / (1 + exp(-growth * (t - midpoint)))

Fitted by maximum likelihood of binomial counts; standard errors from the Fisher information, widened by the Pearson
dispersion where counts scatter more than binomial ones. A midpoint outside the months observed, or with an interval
wider than they span, is not identified: many curves fit as well, and the fit says so instead of a number to believe.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heritage.configs.intervals import Span
from heritage.errors import BadInput

_Z = 1.959963984540054
_FEWEST = 6  # months with counts that three parameters need
_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class Curve:
    """A fitted curve: ceiling (share), growth (a month), midpoint (month), months used, `warnings` about them."""

    ceiling: Span
    growth: Span
    midpoint: Span
    n_months: int
    dispersion: float
    warnings: tuple[str, ...]

    def share(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fitted share at months `t`."""
        return _share(np.array([self.ceiling.value, self.growth.value, self.midpoint.value]), t)


def fit_scurve(month: NDArray[np.float64], successes: NDArray[np.float64], trials: NDArray[np.float64]) -> Curve:
    """The curve for `successes` of `trials` in each `month`; months without trials are left out.

    Raises `BadInput` with fewer than six months, or where no share or every share is reached all the time.
    """
    used = trials > 0
    t, k, n = month[used], successes[used], trials[used]
    if len(t) < _FEWEST:
        raise BadInput(f"adoption curve: {len(t)} months with counts; a fit needs at least {_FEWEST}")
    if k.sum() in (0, n.sum()):
        raise BadInput(
            f"adoption curve: {int(k.sum())} of {int(n.sum())} models; a share that never moves has no curve"
        )
    best = _maximise(t, k, n)
    spans, dispersion = _intervals(best, t, k, n)
    return Curve(*spans, len(t), dispersion, _warnings(spans, t))


def _share(theta: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import expit

    curve: NDArray[np.float64] = theta[0] * expit(theta[1] * (t - theta[2]))
    return curve


def _jacobian(theta: NDArray[np.float64], t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Derivatives of the share by ceiling, growth and midpoint, (months, 3)."""
    ceiling, growth, midpoint = theta
    unit = _share(theta, t) / ceiling
    slope = ceiling * unit * (1 - unit)
    return np.stack([unit, slope * (t - midpoint), -slope * growth], axis=1)


def _maximise(t: NDArray[np.float64], k: NDArray[np.float64], n: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.optimize import minimize

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        p = np.clip(_share(theta, t), _EDGE, 1 - _EDGE)
        score = (k - n * p) / (p * (1 - p))
        return -float(np.sum(k * np.log(p) + (n - k) * np.log1p(-p))), -score @ _jacobian(theta, t)

    length = float(np.ptp(t))
    bounds = [(1e-4, 1.0), (-3.0, 3.0), (float(t.min()) - 2 * length, float(t.max()) + 2 * length)]
    top = min(1.0, 1.1 * float(np.max(k / n)) + 0.01)
    starts = [(top, growth, float(np.quantile(t, q))) for growth in (0.3, -0.3) for q in (0.25, 0.75)]
    fits = [minimize(loss, np.array(s), jac=True, method="L-BFGS-B", bounds=bounds) for s in starts]
    best: NDArray[np.float64] = min(fits, key=lambda fit: float(fit.fun)).x
    return best


def _intervals(
    theta: NDArray[np.float64], t: NDArray[np.float64], k: NDArray[np.float64], n: NDArray[np.float64]
) -> tuple[tuple[Span, Span, Span], float]:
    p = np.clip(_share(theta, t), 1e-6, 1 - 1e-6)
    jacobian = _jacobian(theta, t)
    weight = n / (p * (1 - p))
    pearson = float(np.sum((k - n * p) ** 2 / (n * p * (1 - p)))) / max(len(t) - 3, 1)
    dispersion = max(1.0, pearson)
    information = (jacobian * weight[:, None]).T @ jacobian
    # scaled to a unit diagonal: the three parameters live on scales that differ by orders of magnitude
    scale = np.sqrt(np.maximum(np.diag(information), 1e-300))
    scaled = information / np.outer(scale, scale)
    if np.linalg.cond(scaled) > 1e10:
        error = np.full(3, np.inf)
    else:
        error = np.sqrt(np.maximum(np.diag(np.linalg.inv(scaled)), 0.0) * dispersion) / scale
    low, high = theta - _Z * error, theta + _Z * error
    low[0], high[0] = max(low[0], 0.0), min(high[0], 1.0)
    spans = [Span(float(v), float(a), float(b)) for v, a, b in zip(theta, low, high, strict=True)]
    return (spans[0], spans[1], spans[2]), dispersion


def _warnings(spans: tuple[Span, Span, Span], t: NDArray[np.float64]) -> tuple[str, ...]:
    ceiling, growth, midpoint = spans
    found = []
    if not t.min() <= midpoint.value <= t.max():
        found.append("midpoint lies outside the observed months and is not identified")
    elif midpoint.high - midpoint.low > np.ptp(t):
        found.append("midpoint interval is wider than the observed months: not identified")
    if growth.low <= 0 <= growth.high:
        found.append("growth is not told apart from none")
    if ceiling.high - ceiling.low > 0.5:
        found.append("ceiling is not identified: the curve has not levelled off")
    return tuple(found)
