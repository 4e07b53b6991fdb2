"""Regression of counts with more spread than Poisson: negative binomial with exposure and robust errors."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from heritage.errors import BadInput

_MOST_ALIKE = 30.0  # condition number of the standardised design beyond which terms cannot be told apart
_ROWS_A_TERM = 10
_COUNTED_A_TERM = 5  # with fewer counts above 0 a term separates them from the rest, and its ratio has no bound


@dataclass(frozen=True, eq=False)
class NegativeBinomial:
    """`frame`: term, rate_ratio, low, high, p_value; `summary`: n, AIC of both models, dispersions, alpha; `notes`."""

    frame: pd.DataFrame
    summary: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @classmethod
    def empty(cls, reason: str) -> "NegativeBinomial":
        """No model, and why."""
        columns = ["term", "rate_ratio", "low", "high", "p_value"]
        return cls(pd.DataFrame({c: pd.Series(dtype=float) for c in columns}), {"left_out": reason})


def fit_counts(counts: pd.Series, design: pd.DataFrame, exposure: pd.Series) -> NegativeBinomial:
    """exp(coefficients) of `counts` on `design`, given `exposure` (age): how the rate changes with one unit of a term.

    NB2 (variance mu + alpha mu^2), alpha by moments of a Poisson fit, sandwich (HC1) errors. Raises `BadInput` with
    fewer than ten rows or five counts above 0 a term, or where terms cannot be told apart.
    """
    import statsmodels.api as sm  # type: ignore[import-untyped]

    x = _checked(counts, design)
    y, offset = counts.to_numpy(dtype=np.float64), np.log(exposure.to_numpy(dtype=np.float64))
    with warnings.catch_warnings():
        # non-convergence is looked at below; overflow in a first step is part of the iteration
        warnings.simplefilter("ignore")
        poisson = sm.GLM(y, x, family=sm.families.Poisson(), offset=offset).fit()
        alpha = _alpha(y, np.asarray(poisson.mu))
        family = sm.families.NegativeBinomial(alpha=alpha)
        fit = sm.GLM(y, x, family=family, offset=offset).fit(cov_type="HC1")
    notes = () if bool(fit.converged) else ("the regression did not converge; its numbers are not to be relied on",)
    limits = np.asarray(fit.conf_int())[1:]
    frame = pd.DataFrame({
        "term": list(design.columns), "rate_ratio": _exp(np.asarray(fit.params)[1:]), "low": _exp(limits[:, 0]),
        "high": _exp(limits[:, 1]), "p_value": np.asarray(fit.pvalues)[1:],
    })  # fmt: skip
    degrees = max(len(y) - x.shape[1], 1)
    summary = {"n": len(y), "alpha": alpha, "aic_poisson": float(poisson.aic), "aic_negative_binomial": float(fit.aic),
               "dispersion_poisson": float(poisson.pearson_chi2) / degrees,
               "dispersion_negative_binomial": float(fit.pearson_chi2) / degrees}  # fmt: skip
    return NegativeBinomial(frame, summary, notes)


def _checked(counts: pd.Series, design: pd.DataFrame) -> NDArray[np.float64]:
    """The design with a constant in front, if it can be fitted."""
    if len(counts) < _ROWS_A_TERM * (design.shape[1] + 1):
        raise BadInput(
            f"{len(counts)} complete rows for {design.shape[1]} terms; at least {_ROWS_A_TERM} a term are needed"
        )
    counted = int((counts > 0).sum())
    if counted < _COUNTED_A_TERM * design.shape[1]:
        raise BadInput(
            f"{counted or 'no'} models of the complete rows have a descendant, for {design.shape[1]} terms; "
            f"at least {_COUNTED_A_TERM} a term are needed"
        )
    constant = [c for c in design if design[c].nunique() < 2]
    if constant or not design.shape[1]:
        raise BadInput(f"terms {constant} do not vary among {len(counts)} complete rows; leave them out")
    values = design.to_numpy(dtype=np.float64)
    standardised = (values - values.mean(axis=0)) / values.std(axis=0)
    if np.linalg.cond(standardised) > _MOST_ALIKE:
        raise BadInput(f"terms {list(design.columns)} are too alike to be told apart; leave some out")
    return np.column_stack([np.ones(len(values)), values])


def _alpha(y: NDArray[np.float64], mu: NDArray[np.float64]) -> float:
    """Extra variance by moments: alpha with sum((y - mu)^2 - y) = alpha sum(mu^2), at least 1e-6 (Poisson)."""
    return float(max(np.sum((y - mu) ** 2 - y) / np.sum(mu**2), 1e-6))


def _exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(np.clip(values, -50, 50)))
