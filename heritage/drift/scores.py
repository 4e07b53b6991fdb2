"""How right probabilities are: accuracy, log loss, Brier score, AUC and calibration error."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from heritage.errors import BadInput

BINS = 10
CLIP = 1e-15


@dataclass(frozen=True, slots=True)
class Scores:
    """Figures over n labelled rows. `brier` sums over classes (0 to 2); `auc` is None where one class is missing.

    `calibration_error` is the mean gap between confidence and accuracy over ten bins of confidence, weighted by rows.
    """

    rows: int
    accuracy: float
    log_loss: float
    brier: float
    auc: float | None
    calibration_error: float


def score(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Scores:
    """Scores of `probabilities` (n, classes) against `labels` (n,), both checked by `checked`; n >= 1."""
    confidence, right = confidence_of(probabilities, labels)
    of_label = probabilities[np.arange(len(labels)), labels]
    shares, mean_confidence, accuracy = calibration(confidence, right)
    return Scores(
        rows=len(labels),
        accuracy=float(right.mean()),
        log_loss=float(-np.log(np.clip(of_label, CLIP, 1.0)).mean()),
        brier=float(2.0 * half_brier(probabilities, labels).mean()),
        auc=auc(probabilities, labels),
        calibration_error=float(np.nansum(shares * np.abs(mean_confidence - accuracy))),
    )


def checked(
    probabilities: NDArray[np.generic], labels: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities as (n, classes) that sum to 1 a row and labels as class indexes, else `BadInput`.

    A single column is taken as the probability of class 1 of two.
    """
    p = np.asarray(probabilities, np.float64)
    p = np.stack([1.0 - p, p], axis=1) if p.ndim == 1 else p
    if p.ndim != 2 or p.shape[1] < 2 or labels.shape != (len(p),):
        raise BadInput(f"probabilities have shape {p.shape}, labels {labels.shape}; expected (n, classes) and (n,)")
    if not ((p >= 0) & (p <= 1)).all() or not np.allclose(p.sum(axis=1), 1.0, atol=1e-3):
        raise BadInput("probabilities do not lie in [0, 1] or do not sum to 1 in every row; give the softmax outputs")
    if labels.dtype.kind not in "iub" or (len(labels) and not 0 <= labels.min() <= labels.max() < p.shape[1]):
        raise BadInput(f"labels must be class indexes from 0 to {p.shape[1] - 1}")
    return p, labels.astype(np.int64)


def confidence_of(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Largest probability of each row, and whether its class is the label."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def half_brier(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Half the squared distance of each row from its label: between 0 and 1."""
    of_label = probabilities[np.arange(len(labels)), labels]
    return np.asarray(np.clip((np.sum(probabilities**2, axis=1) - 2.0 * of_label + 1.0) / 2.0, 0.0, 1.0))


def bins_of(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin of each confidence: ten of equal width."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def calibration(
    confidence: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Share of rows, mean confidence and accuracy of each bin; NaN in bins without rows."""
    bins = bins_of(confidence)
    rows = np.bincount(bins, minlength=BINS).astype(np.float64)
    with np.errstate(invalid="ignore"):
        mean_confidence = np.bincount(bins, weights=confidence, minlength=BINS) / rows
        accuracy = np.bincount(bins, weights=right, minlength=BINS) / rows
    return rows / max(len(confidence), 1), mean_confidence, accuracy


def auc(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float | None:
    """Area under the ROC curve; with more than two classes the mean over one-against-the-rest of those present.

    None where no class has rows on both sides.
    """
    classes = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    areas = [_area(probabilities[:, k], labels == k) for k in classes if 0 < (labels == k).sum() < len(labels)]
    return float(np.mean(areas)) if areas else None


def _area(probability: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Mann-Whitney form: ties count half."""
    ranks = stats.rankdata(probability)
    hits = int(positive.sum())
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * (len(positive) - hits)))
