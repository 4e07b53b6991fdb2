"""Is the model still as right as it was? From labels that arrive late, joined by prediction id.

Inputs can stay as they were while what is right changes; only labels show that. The test is one-sided (only worse
counts), against an upper bound of the reference's own error, and may be repeated at every new batch of labels.
The labelled rows must be a fair sample of the traffic: rows that were chosen because the model was unsure of them look
worse than the model is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heritage.drift import betting, scores
from heritage.drift.scores import Scores
from heritage.errors import BadInput

ALPHA = 0.01
TOLERANCE = 0.02
MIN_LABELS = 30


@dataclass(frozen=True, slots=True)
class PerformanceReference:
    """How right the model was on its reference rows.

    `half_brier_variance` of the rows' half Brier scores; `bin_accuracy` is the accuracy in each of ten bins of
    confidence, None in bins without rows; `classes` names the class indexes where the labels had names.
    """

    scores: Scores
    half_brier_variance: float
    bin_accuracy: tuple[float | None, ...]
    classes: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls, probabilities: NDArray[np.generic], labels: NDArray[np.generic], classes: Sequence[str] = ()
    ) -> "PerformanceReference":
        """From probabilities (n, classes), or (n,) of class 1, and class indexes (n,); `BadInput` for no rows."""
        p, y = scores.checked(probabilities, labels)
        if len(y) == 0:
            raise BadInput("the reference has no labelled rows; performance needs at least one")
        _, _, accuracy = scores.calibration(*scores.confidence_of(p, y))
        variance = float(scores.half_brier(p, y).var(ddof=1)) if len(y) > 1 else 0.0
        bins = tuple(None if np.isnan(a) else float(a) for a in accuracy)
        return cls(scores.score(p, y), variance, bins, tuple(classes))

    def record(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str) -> "PerformanceReference":
        """From JSON values; `BadInput` naming `where` if they are not such a record."""
        try:
            found = cls(
                Scores(**record["scores"]),
                float(record["half_brier_variance"]),
                tuple(None if a is None else float(a) for a in record["bin_accuracy"]),
                tuple(str(c) for c in record["classes"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(f"{where}: not a performance reference ({error!r}); fit it again") from error
        if found.scores.rows < 1 or len(found.bin_accuracy) != scores.BINS:
            raise BadInput(f"{where}: a performance reference without rows or bins; fit it again")
        return found


@dataclass(frozen=True, slots=True)
class PerformanceVerdict:
    """`status` is ok, drift or insufficient. `p` bounds the probability of so much evidence without any decline.

    `current` is None without labels. `estimated_accuracy` needs no labels: it is what the reference's accuracy at the
    same confidence would give, an estimate that cannot see a change of what is right.
    """

    status: str
    labels: int
    reference: Scores
    current: Scores | None
    p: float
    estimated_accuracy: float | None = None

    @property
    def moved(self) -> bool:
        """Whether the model became worse."""
        return self.status == "drift"

    def to_json(self) -> dict[str, Any]:
        """JSON values: status, labels, p, each measure as reference and current, and the marked estimate."""
        now = self.current and asdict(self.current)
        then = asdict(self.reference)
        measures = {k: {"reference": v, "current": now and now[k]} for k, v in then.items() if k != "rows"}
        estimate = {"accuracy": self.estimated_accuracy, "is_estimate": True}
        return {"status": self.status, "labels": self.labels, "p": self.p, **measures, "without_labels": estimate}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "PerformanceVerdict":
        """From the values of its fields (`dataclasses.asdict`); KeyError, TypeError or ValueError for others."""
        if record["status"] not in ("ok", "drift", "insufficient"):
            raise ValueError(f"status {record['status']!r} does not exist")
        now = record["current"]
        parts = {"reference": Scores(**record["reference"]), "current": None if now is None else Scores(**now)}
        return cls(**{**record, **parts})


def check_performance(
    reference: PerformanceReference,
    probabilities: NDArray[np.generic],
    labels: NDArray[np.generic],
    *,
    alpha: float = ALPHA,
    tolerance: float = TOLERANCE,
    min_labels: int = MIN_LABELS,
) -> PerformanceVerdict:
    """Whether error rate or Brier score are worse than the reference's by more than `tolerance`.

    Rows in the order of their arrival. A false alarm has probability at most `alpha`, however often it is looked at:
    half for the bounds of the reference, half for the bets.
    """
    p, y = scores.checked(probabilities, labels)
    if len(y) < min_labels:
        current = scores.score(p, y) if len(y) else None
        return PerformanceVerdict("insufficient", len(y), reference.scores, current, 1.0, _estimate(reference, p))
    wrong = 1.0 - scores.confidence_of(p, y)[1].astype(np.float64)
    error_bound, brier_bound = _bounds(reference, alpha / 4)
    wealth = np.logaddexp(
        betting.log_wealth(wrong, error_bound + tolerance),
        betting.log_wealth(scores.half_brier(p, y), brier_bound + tolerance),
    ) - np.log(2.0)
    evidence = float(np.exp(-max(wealth, 0.0)))
    # the bets may err with alpha / 2, and the bounds with alpha / 4 each
    status = "drift" if evidence <= alpha / 2 else "ok"
    return PerformanceVerdict(
        status, len(y), reference.scores, scores.score(p, y), min(1.0, 2 * evidence), _estimate(reference, p)
    )


def estimate_accuracy(reference: PerformanceReference, probabilities: NDArray[np.generic]) -> float | None:
    """Accuracy to be expected of `probabilities` if confidence still means what it meant; needs no labels.

    An estimate: it cannot see concept drift. None without rows.
    """
    p, _ = scores.checked(probabilities, np.zeros(len(probabilities), np.int64))
    return _estimate(reference, p)


def _estimate(reference: PerformanceReference, p: NDArray[np.float64]) -> float | None:
    if len(p) == 0:
        return None
    confidence = p.max(axis=1)
    known = np.array([np.nan if a is None else a for a in reference.bin_accuracy])
    expected = known[scores.bins_of(confidence)]
    # where the reference had no such confidence, confidence itself is the only guess
    return float(np.where(np.isnan(expected), confidence, expected).mean())


def _bounds(reference: PerformanceReference, alpha: float) -> tuple[float, float]:
    rows = reference.scores.rows
    wrong = round((1.0 - reference.scores.accuracy) * rows)
    error = betting.upper_bound_of_share(wrong, rows, alpha)
    brier = betting.upper_bound_of_mean(reference.scores.brier / 2, reference.half_brier_variance, rows, alpha)
    return error, brier
