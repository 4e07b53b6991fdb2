"""Performance: scores against scikit-learn, a test that keeps its level, concept drift that inputs do not show."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from heritage.drift import betting, scores
from heritage.drift.columns import as_frame
from heritage.drift.performance import (
    PerformanceReference,
    PerformanceVerdict,
    check_performance,
    estimate_accuracy,
)
from heritage.drift.profile import DriftProfile
from heritage.drift.verdict import check
from heritage.drift.window import Window
from heritage.errors import BadInput


def softmax_rows(rng, rows, classes):
    p = rng.dirichlet(np.full(classes, 0.6), rows)
    labels = np.array([rng.choice(classes, p=row) for row in p])
    return p, labels


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5))
def test_scores_are_scikit_learns(seed, classes):
    p, y = softmax_rows(np.random.default_rng(seed), 200, classes)
    found = scores.score(p, y)
    known = list(range(classes))
    assert found.accuracy == metrics.accuracy_score(y, p.argmax(axis=1))
    assert found.log_loss == pytest.approx(metrics.log_loss(y, p, labels=known), rel=1e-6)
    assert found.brier == pytest.approx(np.mean(np.sum((p - np.eye(classes)[y]) ** 2, axis=1)))
    present = [k for k in known if 0 < (y == k).sum() < len(y)]
    expected = np.mean([metrics.roc_auc_score(y == k, p[:, k]) for k in ([1] if classes == 2 else present)])
    assert found.auc == pytest.approx(expected)


def test_calibration_error_is_that_of_brute_force():
    p, y = softmax_rows(np.random.default_rng(1), 500, 3)
    total = 0.0
    for low in np.arange(10) / 10:
        inside = (p.max(axis=1) >= low) & (p.max(axis=1) < low + 0.1)
        if inside.any():
            total += inside.mean() * abs(p.max(axis=1)[inside].mean() - (p.argmax(axis=1) == y)[inside].mean())
    assert scores.score(p, y).calibration_error == pytest.approx(total)


def test_one_class_alone_has_no_auc_and_certainty_no_infinite_loss():
    p = np.array([[1.0, 0.0], [0.9, 0.1]])
    found = scores.score(p, np.array([1, 1]))
    assert found.auc is None
    assert np.isfinite(found.log_loss)


@pytest.mark.parametrize("rate", [0.02, 0.2, 0.5])
def test_the_wealth_exceeds_its_limit_no_more_often_than_it_may(rate):
    # given errors at exactly the bound, when looked at after each of 1,500 rows
    rng = np.random.default_rng(2)
    high = sum(betting.log_wealth((rng.random(1_500) < rate).astype(float), rate) > np.log(20) for _ in range(400))
    assert high <= 0.05 * 400 + 10


def test_bounds_hold_with_the_stated_probability():
    rng = np.random.default_rng(3)
    below = [betting.upper_bound_of_share(int(rng.binomial(300, 0.1)), 300, 0.05) < 0.1 for _ in range(1_000)]
    assert np.mean(below) <= 0.065
    draws = rng.beta(0.5, 3, size=(500, 400))
    means = [betting.upper_bound_of_mean(d.mean(), d.var(ddof=1), 400, 0.05) < 0.5 / 3.5 for d in draws]
    assert np.mean(means) <= 0.05
    assert betting.upper_bound_of_share(5, 5, 0.05) == 1.0
    assert betting.upper_bound_of_mean(0.3, 0.0, 1, 0.05) == 1.0
    assert betting.log_wealth(np.ones(10), 1.0) == betting.log_wealth(np.empty(0), 0.1) == 0.0


def model(rng, rows, flipped=0.0):
    """Inputs, probabilities of a good model of the rule x0 > 0, and labels with a share of flipped rules."""
    x = rng.normal(size=(rows, 10))
    p1 = 1 / (1 + np.exp(-4 * x[:, 0]))
    y = (rng.random(rows) < p1).astype(np.int64)
    y = np.where(rng.random(rows) < flipped, 1 - y, y)
    return x, np.stack([1 - p1, p1], axis=1), y


def test_concept_drift_without_input_drift_is_seen_within_1000_labels_and_no_input_is_blamed():
    rng = np.random.default_rng(4)
    x, p, y = model(rng, 5_000)
    inputs, outputs = as_frame(x, p)
    reference = PerformanceReference.fit(p, y)
    profile = DriftProfile.fit(inputs, outputs=outputs, performance=reference)
    for _ in range(20):
        x, p, y = model(rng, 1_000, flipped=0.2)
        verdict = check(
            profile, Window.empty(profile).update(*as_frame(x, p)), performance=check_performance(reference, p, y)
        )
        assert verdict.status == "drift"
        assert verdict.moved == ("performance",)


def test_a_model_as_good_as_before_raises_no_alarm():
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(100):
        _, p, y = model(rng, 1_000)
        reference = PerformanceReference.fit(p, y)
        _, p, y = model(rng, 3_000)
        alarms += check_performance(reference, p, y).moved
    assert alarms <= 2


def test_a_better_model_is_no_alarm():
    rng = np.random.default_rng(6)
    _, p, y = model(rng, 2_000, flipped=0.2)
    reference = PerformanceReference.fit(p, y)
    _, p, y = model(rng, 2_000)
    assert check_performance(reference, p, y).status == "ok"


def test_the_estimate_without_labels_follows_confidence_and_is_marked():
    rng = np.random.default_rng(7)
    _, p, y = model(rng, 20_000)
    reference = PerformanceReference.fit(p, y)
    unsure = np.clip((p - 0.5) * 0.3 + 0.5, 0, 1)
    y_unsure = (rng.random(len(p)) < unsure[:, 1]).astype(int)
    truth = (unsure.argmax(axis=1) == y_unsure).mean()
    # the reference is calibrated, so the estimate is right; and it cannot see flipped labels
    assert estimate_accuracy(reference, unsure) == pytest.approx(truth, abs=0.03)
    found = check_performance(reference, p, np.where(rng.random(len(y)) < 0.3, 1 - y, y)).to_json()
    assert found["without_labels"] == {"accuracy": pytest.approx(reference.scores.accuracy), "is_estimate": True}
    assert found["accuracy"]["current"] < found["accuracy"]["reference"] - 0.1


@pytest.mark.parametrize("labels", [0, 1, 29])
def test_few_labels_are_insufficient(labels):
    reference = PerformanceReference.fit(*model(np.random.default_rng(8), 500)[1:])
    _, p, y = model(np.random.default_rng(9), labels, flipped=1.0)
    found = check_performance(reference, p, y)
    assert (found.status, found.labels, found.p) == ("insufficient", labels, 1.0)
    json.dumps(found.to_json(), allow_nan=False)


def test_one_column_of_probabilities_is_that_of_class_1():
    _, p, y = model(np.random.default_rng(10), 300)
    assert PerformanceReference.fit(p[:, 1], y) == PerformanceReference.fit(p, y)


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        (np.zeros((3, 2)), np.zeros(3, int), "do not sum to 1"),
        (np.array([[1.5, -0.5]]), np.zeros(1, int), r"do not lie in \[0, 1\]"),
        (np.array([[np.nan, np.nan]]), np.zeros(1, int), "do not lie"),
        (np.full((3, 2), 0.5), np.zeros(2, int), "expected"),
        (np.full((3, 1), 1.0), np.zeros(3, int), "expected"),
        (np.full((3, 2), 0.5), np.array([0, 1, 2]), "class indexes from 0 to 1"),
        (np.full((3, 2), 0.5), np.array([0.0, 1.0, 1.0]), "class indexes"),
        (np.empty((0, 2)), np.empty(0, int), "no labelled rows"),
    ],
)
def test_what_cannot_be_scored_is_refused(p, y, message):
    with pytest.raises(BadInput, match=message):
        PerformanceReference.fit(p, y)


def test_records_survive_json():
    _, p, y = model(np.random.default_rng(11), 300)
    reference = PerformanceReference.fit(p, y, classes=("no", "yes"))
    assert PerformanceReference.from_record(json.loads(json.dumps(reference.record())), "r") == reference
    with pytest.raises(BadInput, match="r: not a performance reference"):
        PerformanceReference.from_record({"scores": {}}, "r")
    from dataclasses import asdict

    verdict = check_performance(reference, p, y)
    assert PerformanceVerdict.from_record(json.loads(json.dumps(asdict(verdict)))) == verdict
