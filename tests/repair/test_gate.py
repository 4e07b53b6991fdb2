"""The gate: exact tests against scipy, the bounds of each verdict, honest power."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.stats import binomtest

from heritage.errors import BadInput
from heritage.repair.bootstrap import paired_bootstrap
from heritage.repair.gate import GateOptions, Trial, Verdict, decide, split
from heritage.repair.power import detectable_gain, mcnemar, rows_needed
from heritage.rows import Rows


def trial(n: int, fixed: int, broken: int, right: int = 0) -> Trial:
    """Predictions on `n` rows of class 0: `fixed` only the candidate has right, `broken` only the deployed one."""
    labels = np.zeros(n, dtype=np.int64)
    deployed, candidate = np.ones(n, dtype=np.int64), np.ones(n, dtype=np.int64)
    candidate[:fixed] = 0
    deployed[fixed : fixed + broken] = 0
    deployed[fixed + broken : fixed + broken + right] = candidate[fixed + broken : fixed + broken + right] = 0
    return Trial(deployed, candidate, labels)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_equals_the_binomial_test_of_scipy(fixed, broken):
    expected = binomtest(fixed, fixed + broken, 0.5, "greater").pvalue if fixed + broken else 1.0
    assert mcnemar(fixed, broken) == pytest.approx(expected, rel=1e-9)


def test_a_clear_gain_is_accepted_with_its_figures():
    decision = decide(*trial(200, fixed=30, broken=5, right=100))
    assert decision.verdict is Verdict.ACCEPT
    assert (decision.fixed, decision.broken, decision.rows) == (30, 5, 200)
    assert (decision.before, decision.after) == (105 / 200, 130 / 200)
    assert decision.gain == pytest.approx(0.125)
    assert "200 rows can show a gain of" in decision.reasons[0]


@pytest.mark.parametrize(
    ("fixed", "broken", "verdict"),
    [(5, 30, "refuse"), (10, 10, "refuse"), (0, 0, "refuse"), (12, 9, "shadow"), (20, 12, "ask_labels")],
)
def test_what_is_not_shown_to_be_better_does_not_ship(fixed, broken, verdict):
    assert decide(*trial(200, fixed, broken)).verdict == verdict


def test_asking_for_labels_says_how_many():
    decision = decide(*trial(200, 20, 12))
    assert any("more labelled rows would show" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("fixed", "broken", "verdict"), [(0, 0, "accept"), (5, 5, "accept"), (0, 100, "refuse"), (0, 18, "shadow")]
)
def test_the_original_domain_must_not_suffer(fixed, broken, verdict):
    decision = decide(*trial(200, 30, 5), original=trial(1000, fixed, broken))
    assert decision.verdict == verdict
    assert decision.original_gain == (fixed - broken) / 1000


def test_a_repair_refused_on_current_rows_is_not_saved_by_the_original_domain():
    assert decide(*trial(200, 5, 30), original=trial(1000, 50, 0)).verdict is Verdict.REFUSE


@pytest.mark.parametrize("ratio", [1.5, float("inf"), float("nan")])
def test_a_vector_longer_than_the_model_is_refused(ratio):
    decision = decide(*trial(200, 30, 5), norm_ratio=ratio)
    assert decision.verdict is Verdict.REFUSE
    assert "norms of the model long" in decision.reasons[-1]


def test_the_detectable_gain_falls_with_rows_and_its_power_is_true():
    gains = [detectable_gain(n, n // 5, 0.05) for n in (50, 200, 800, 3200)]
    assert gains == sorted(gains, reverse=True)
    random = np.random.default_rng(0)
    n, churn, gain = 800, 161 / 802, gains[2]
    draws = random.multinomial(n, [churn / 2 + gain, churn / 2, 1 - churn - gain], size=3000)
    power = np.mean([mcnemar(fixed, broken) <= 0.05 for fixed, broken, _ in draws])
    assert power == pytest.approx(0.8, abs=0.03)


def test_too_few_rows_can_show_nothing():
    assert detectable_gain(4, 1, 0.05) == 1.0
    assert detectable_gain(rows_needed(0.05, 50, 10, 0.05), 10, 0.05) <= 0.06


@pytest.mark.parametrize("sizes", [(3, 4, 4), (0, 0, 0)])
def test_predictions_must_fit_the_labels(sizes):
    with pytest.raises(BadInput, match="guard rows"):
        decide(*(np.zeros(n, dtype=np.int64) for n in sizes))


@given(st.integers(4, 300), st.floats(0.1, 0.9), st.integers(0, 5))
def test_a_split_keeps_every_row_once(n, share, seed):
    rows = Rows(np.arange(n, dtype=np.float32)[:, None], np.arange(n) % 3)
    tune, guard = split(rows, share, seed)
    assert sorted([*tune.x.ravel(), *guard.x.ravel()]) == list(range(n))
    assert len(guard) == round(share * n)
    assert split(rows, share, seed)[1].digest == guard.digest


def test_false_alarms_stay_under_the_level():
    random = np.random.default_rng(1)
    pairs = random.binomial(60, 0.5, size=3000)
    assert np.mean([mcnemar(f, 60 - f) <= 0.05 for f in pairs]) <= 0.05 + 0.01


def test_the_bootstrap_finds_a_gain_in_another_metric_and_no_gain_in_none():
    t = trial(300, 40, 10, right=100)

    def accuracy(labels, predictions):
        return float(np.mean(labels == predictions))

    better = paired_bootstrap(accuracy, *t, seed=0)
    assert better.difference == pytest.approx(0.1)
    assert better.p < 0.01 < better.lower
    assert paired_bootstrap(accuracy, t.candidate, t.candidate, t.labels, seed=0).p == 1.0
    assert paired_bootstrap(accuracy, *t, seed=0) == better


def test_options_change_the_bounds():
    t = trial(200, 16, 8)
    assert decide(*t).verdict is Verdict.ASK_LABELS
    assert decide(*t, options=GateOptions(alpha=0.1)).verdict is Verdict.ACCEPT


def test_another_metric_is_judged_by_the_bootstrap():
    labels = np.r_[np.zeros(270), np.ones(30)].astype(np.int64)
    deployed = np.zeros(300, dtype=np.int64)  # never sees the rare class
    candidate = np.r_[np.zeros(255), np.ones(15), np.ones(27), np.zeros(3)].astype(np.int64)
    assert decide(deployed, candidate, labels).gain == pytest.approx(0.04)
    decision = decide(deployed, candidate, labels, options=GateOptions(metric="balanced-accuracy"))
    assert decision.verdict is Verdict.ACCEPT
    assert (decision.before, decision.after) == pytest.approx((0.5, (255 / 270 + 0.9) / 2))
    assert 0 < decision.detectable < decision.gain
    assert "points of balanced-accuracy" in decision.reasons[0]


def test_an_unknown_metric_is_refused_with_those_known():
    with pytest.raises(BadInput, match="known: accuracy, balanced-accuracy, macro-f1"):
        GateOptions(metric="auc")
