"""Metrics that a gate may be asked to judge by: true classes and predicted ones, both (n,); larger is better."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Metric = Callable[[Labels, Labels], float]

ACCURACY = "accuracy"


def accuracy(labels: Labels, predicted: Labels) -> float:
    """Share of rows whose predicted class is the label."""
    return float(np.mean(labels == predicted))


def balanced_accuracy(labels: Labels, predicted: Labels) -> float:
    """Mean over the classes among `labels` of the share that was found: each class counts the same."""
    right, present = _counts(labels, predicted)[0], np.bincount(labels)
    return float(np.mean(right[: len(present)][present > 0] / present[present > 0]))


def macro_f1(labels: Labels, predicted: Labels) -> float:
    """Mean over the classes among `labels` of 2 right / (labelled + predicted)."""
    right, both = _counts(labels, predicted)
    present = np.bincount(labels, minlength=len(right)) > 0
    return float(np.mean(2 * right[present] / both[present]))


def _counts(labels: Labels, predicted: Labels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Per class: rows that are right, and labels plus predictions."""
    classes = int(max(labels.max(), predicted.max())) + 1
    counted = [np.bincount(part, minlength=classes) for part in (labels, predicted, labels[labels == predicted])]
    return counted[2], counted[0] + counted[1]


METRICS: dict[str, Metric] = {
    ACCURACY: accuracy,
    "balanced-accuracy": balanced_accuracy,
    "macro-f1": macro_f1,
}
