"""The plan: canonical, hashed, and refused where it does not add up."""

import json
from dataclasses import replace

import pytest

from heritage.errors import BadInput, UnsafeName
from heritage.repair.plan import Recipe, RepairPlan, Rung, Statistics

RECIPE = Recipe(Rung.HULL, {"b": 0.25, "a": 0.1}, Statistics.ADAPTED)
PLAN = RepairPlan("0" * 64, {"a": "1" * 64, "b": "2" * 64}, RECIPE, "3" * 64, seed=7, left={"head.weight": "shape"})


def test_a_plan_survives_its_json():
    for plan in (PLAN, replace(PLAN, gate={"alpha": 0.05, "metric": "accuracy"})):
        again = RepairPlan.from_json(plan.to_json())
        assert again == plan
        assert again.hash == plan.hash


def test_a_plan_of_before_gates_were_part_of_it_keeps_its_hash():
    assert PLAN.hash == "486fc49f29c8a91bcf4c0c397d0782ae9973abaeac2ab292b8ec050c76a3bbd3"


def test_the_hash_does_not_depend_on_the_order_of_donors():
    other = replace(
        PLAN, donors={"b": "2" * 64, "a": "1" * 64}, recipe=replace(RECIPE, coefficients={"a": 0.1, "b": 0.25})
    )
    assert other.hash == PLAN.hash


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"guard": "9" * 64},
        {"gate": {"alpha": 0.05}},
        {"recipe": replace(RECIPE, coefficients={"a": 0.1, "b": 0.2500001})},
    ],
)
def test_every_change_changes_the_hash(change):
    assert replace(PLAN, **change).hash != PLAN.hash


@pytest.mark.parametrize("a", [float("nan"), float("inf")])
def test_coefficients_must_be_finite(a):
    with pytest.raises(BadInput, match="not finite"):
        Recipe(Rung.ONE, {"a": a})


def test_a_coefficient_needs_its_donor_and_digests_their_form():
    with pytest.raises(BadInput, match="'b', whose digest the plan lacks"):
        replace(PLAN, donors={"a": "1" * 64})
    with pytest.raises(UnsafeName):
        replace(PLAN, drifted="../x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        PLAN.to_json()[:-20],
        PLAN.to_json().replace("hull", "leap"),
        json.dumps({"version": 1}),
        "[" * 99999,
        PLAN.to_json().replace('"version":1', '"version":2'),
        PLAN.to_json().replace("0.25", "NaN"),
        PLAN.to_json().replace('"seed":7', '"seed":"7"'),
    ],
)
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(BadInput, match="stored plan"):
        RepairPlan.from_json(text, "stored plan")


def test_only_plain_mixes_stream():
    assert Recipe(Rung.HULL, {"a": 1.0}).streams
    assert not RECIPE.streams
    assert not Recipe(Rung.FINETUNE_20, {}, steps=20, rate=1e-3).streams
