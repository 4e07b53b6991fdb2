"""Which rung ships: all are judged, the simplest of those that pass and are not worse than the last of them."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.stats import binomtest

from heritage.repair.choose import choose_candidate, simplest
from heritage.repair.gate import GateOptions, Trial, Verdict, decide

LABELS = np.zeros(200, dtype=np.int64)


def right(count: int, start: int = 0) -> np.ndarray:
    """Predictions of which `count` rows from `start` on are right."""
    out = np.ones(200, dtype=np.int64)
    out[start : start + count] = 0
    return out


DEPLOYED = right(90)


def test_the_simplest_candidate_that_is_not_worse_is_named():
    name, p_values = simplest([("rollback", right(100)), ("one", right(150)), ("hull", right(152))], LABELS)
    assert name == "one"
    assert p_values["rollback"] < 0.05 < p_values["one"]
    assert simplest([("hull", right(152))], LABELS)[0] == "hull"


def test_plain_rollback_ships_unless_more_is_shown_to_be_better():
    close = {"none": DEPLOYED, "rollback": right(140), "one": right(140), "hull": right(141)}
    name, decision = choose_candidate(DEPLOYED, close, LABELS)
    assert (name, decision.ships, decision.verdict) == ("rollback", "rollback", Verdict.ACCEPT)
    better = {**close, "hull": right(160)}
    name, decision = choose_candidate(DEPLOYED, better, LABELS)
    assert name == "hull"
    assert decision.comparisons["rollback"] == pytest.approx(binomtest(20, 20, 0.5, "greater").pvalue)
    assert "against plain rollback (accept by itself): +10.0 points" in decision.reasons[-1]


def test_a_rung_that_the_gate_refuses_is_no_measure_for_the_others():
    # the chosen rung is better on current rows than all others, but gives the original domain away
    candidates = {"rollback": right(120), "hull": right(170)}
    kept = Trial(right(180), right(180), LABELS)
    lost = Trial(right(180), right(100), LABELS)
    name, decision = choose_candidate(DEPLOYED, candidates, LABELS, {"rollback": kept, "hull": lost})
    assert (name, decision.verdict) == ("rollback", Verdict.ACCEPT)
    name, decision = choose_candidate(DEPLOYED, candidates, LABELS, {"rollback": lost, "hull": kept})
    assert (name, decision.verdict) == ("hull", Verdict.ACCEPT)
    assert "against plain rollback (refuse by itself)" in decision.reasons[-1]


def test_where_none_passes_the_decision_is_on_the_chosen_one():
    name, decision = choose_candidate(DEPLOYED, {"rollback": right(60), "one": right(93)}, LABELS)
    assert name == "one"
    assert decision.verdict is Verdict.SHADOW


def test_a_vector_that_is_too_long_is_passed_over():
    name, _ = choose_candidate(
        DEPLOYED, {"rollback": right(150), "one": right(150)}, LABELS, norm_ratios={"rollback": np.nan, "one": 0.5}
    )
    assert name == "one"


def test_the_deployed_model_itself_is_never_a_repair():
    assert choose_candidate(DEPLOYED, {"none": DEPLOYED}, LABELS)[1].verdict is Verdict.REFUSE
    assert choose_candidate(DEPLOYED, {"none": DEPLOYED, "one": right(95)}, LABELS)[0] == "one"


@given(st.lists(st.integers(0, 200), min_size=1, max_size=5), st.integers(0, 200), st.sampled_from([0.05, 0.2, 0.5]))
def test_what_ships_is_accepted_wherever_anything_is(counts, deployed, level):
    candidates = {f"rung{i}": right(c, start=i) for i, c in enumerate(counts)}
    options = GateOptions(simpler_alpha=level)
    name, decision = choose_candidate(right(deployed), candidates, LABELS, options=options)
    alone = {n: decide(right(deployed), c, LABELS, options=options) for n, c in candidates.items()}
    assert decision.accepted == any(d.accepted for d in alone.values())
    assert decision.verdict == alone[name].verdict
    assert (decision.p, decision.before, decision.after) == (alone[name].p, alone[name].before, alone[name].after)
    assert set(decision.comparisons) == candidates.keys() - {name}
