"""Metrics against scikit-learn's."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from heritage.repair.metrics import METRICS

some_classes = st.integers(1, 40).flatmap(
    lambda n: st.tuples(*(arrays(np.int64, n, elements=st.integers(0, 4)) for _ in range(2)))
)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
@given(some_classes)
def test_metrics_equal_those_of_scikit_learn(pair):
    labels, predicted = pair
    present = np.unique(labels)
    assert METRICS["accuracy"](labels, predicted) == pytest.approx(accuracy_score(labels, predicted))
    assert METRICS["balanced-accuracy"](labels, predicted) == pytest.approx(balanced_accuracy_score(labels, predicted))
    expected = f1_score(labels, predicted, labels=present, average="macro", zero_division=0)
    assert METRICS["macro-f1"](labels, predicted) == pytest.approx(expected)
