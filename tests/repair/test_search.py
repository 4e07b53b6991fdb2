"""The ladder: it finds the way back, says what it cost, and gives the same bits again."""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from heritage.errors import BadInput
from heritage.repair.choose import choose_candidate
from heritage.repair.evaluate import predict
from heritage.repair.golden import golden_section
from heritage.repair.lines import Family, toward
from heritage.repair.options import LADDER, NEAREST_RULE, SearchOptions, parse_rungs
from heritage.repair.plan import Rung, Statistics
from heritage.repair.search import realise, search, tuning_split
from heritage.repair.vector import difference
from heritage.rows import Rows

PLAIN = SearchOptions(rungs=(Rung.NONE, Rung.ROLLBACK, Rung.ONE, Rung.HULL))


def accuracy(f, state, rows=None) -> float:
    rows = rows or f.test
    return float(np.mean(predict(f.network, state, rows).argmax(1) == rows.y))


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("which", ["family", "layer_norm_family"])
def test_the_ladder_brings_a_forgotten_skill_back(which, request):
    f = request.getfixturevalue(which)
    result = search(f.network, f.drifted, f.donors, f.rows, f.unlabelled)
    assert accuracy(f, result.state) > accuracy(f, f.drifted) + 0.2
    assert result.nll_after < result.nll_before
    assert result.coefficients["root"] > 0.3
    # the longest steps are not even tried where the lineage knows the drift
    assert set(LADDER) - {Rung.FINETUNE_200} <= set(result.held_out)


def test_the_same_search_gives_the_same_bits_and_realise_rebuilds_every_recipe(family):
    f = family
    first = search(f.network, f.drifted, f.donors, f.rows, f.unlabelled)
    second = search(f.network, f.drifted, f.donors, f.rows, f.unlabelled)
    assert first.recipe == second.recipe
    assert same(first.state, second.state)
    assert same(realise(f.network, f.drifted, f.donors, first.recipe, f.rows, f.unlabelled), first.state)


def test_the_number_of_threads_outside_does_not_matter(family):
    f = family
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = search(f.network, f.drifted, f.donors, f.rows, f.unlabelled)
        torch.set_num_threads(2)
        two = search(f.network, f.drifted, f.donors, f.rows, f.unlabelled)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert same(one.state, two.state)


def test_the_given_models_are_not_changed(family):
    f = family
    before = {n: t.clone() for n, t in f.drifted.items()}
    network = {n: t.clone() for n, t in f.network.state_dict().items()}
    search(f.network, f.drifted, f.donors, f.rows, f.unlabelled)
    assert same(before, f.drifted)
    assert same(network, dict(f.network.state_dict()))


def test_coefficients_stay_in_the_convex_hull(family):
    result = search(family.network, family.drifted, family.donors, family.rows, family.unlabelled, PLAIN)
    for recipe in result.recipes:
        assert all(a >= 0 for a in recipe.coefficients.values())
        assert sum(recipe.coefficients.values()) <= 1 + 1e-9


@given(st.dictionaries(st.sampled_from("abc"), st.floats(0, 1 / 3)), st.sampled_from("abcd"), st.floats(0, 1))
def test_a_step_towards_a_donor_stays_in_the_simplex(coefficients, donor, share):
    moved = toward(coefficients, donor, share)
    assert all(a > 0 for a in moved.values())
    assert sum(moved.values()) <= 1 + 1e-12


def test_a_healthy_model_is_left_alone(family):
    f = family
    healthy = f.donors["root"]
    result = search(f.network, healthy, {"sibling": f.donors["sibling"]}, f.rows, None, PLAIN)
    assert accuracy(f, result.state) >= accuracy(f, healthy) - 0.03


def test_drift_that_no_relative_knows_is_left_to_fine_tuning(family):
    f = family
    inverted, test = (Rows(1 - r.x, r.y) for r in (f.guard, f.test))
    result = search(f.network, f.drifted, f.donors, inverted, options=SearchOptions(seed=1))
    assert result.rung in (Rung.FINETUNE_20, Rung.FINETUNE_60, Rung.FINETUNE_200)
    assert accuracy(f, result.state, test) > accuracy(f, f.drifted, test) + 0.15


def test_the_nearest_rule_moves_one_donor_only(family):
    f = family
    options = SearchOptions(rungs=NEAREST_RULE)
    result = search(f.network, f.drifted, {"root": f.donors["root"]}, f.rows, options=options)
    assert result.rung is Rung.ONE
    assert set(result.coefficients) == {"root"}


@pytest.mark.parametrize("options", [replace(PLAIN, trim=0.2), SearchOptions(rungs=(Rung.NONE, Rung.LAYERS))])
def test_trimming_and_layer_factors_are_selectable_and_rebuild(family, options):
    f = family
    result = search(f.network, f.drifted, f.donors, f.rows, f.unlabelled, options)
    assert accuracy(f, result.state) > accuracy(f, f.drifted)
    assert same(realise(f.network, f.drifted, f.donors, result.recipe, f.rows, f.unlabelled, options), result.state)


def test_a_trimmed_recipe_rebuilds_whatever_the_options_say(family):
    f = family
    found = search(f.network, f.drifted, f.donors, f.rows, f.unlabelled, replace(PLAIN, trim=0.2))
    assert same(realise(f.network, f.drifted, f.donors, found.recipe, f.rows, f.unlabelled), found.state)


def test_rows_with_nan_are_left_out_and_told(family):
    f = family
    x = np.concatenate([f.rows.x, np.full_like(f.rows.x[:3], np.nan)])
    dark = Rows(x, np.concatenate([f.rows.y, f.rows.y[:3]]))
    options = SearchOptions(rungs=(Rung.NONE, Rung.ONE, Rung.FINETUNE_20))
    found = search(f.network, f.drifted, f.donors, dark, dark, options)
    clean = search(f.network, f.drifted, f.donors, f.rows, f.rows, options)
    assert found.skipped["rows"] == f"3 of {len(dark)} labelled rows hold NaN or infinite inputs"
    assert found.recipe == clean.recipe
    assert same(found.state, clean.state)
    assert same(realise(f.network, f.drifted, f.donors, found.recipe, dark, dark, options), clean.state)


def test_the_longest_steps_are_tried_where_they_alone_are_wanted(family):
    f = family
    inverted, test = (Rows(1 - r.x, r.y) for r in (f.guard, f.test))
    options = SearchOptions(rungs=(Rung.FINETUNE_200,))
    result = search(f.network, f.drifted, f.donors, inverted, options=options)
    assert result.rung is Rung.FINETUNE_200
    assert accuracy(f, result.state, test) > accuracy(f, f.drifted, test) + 0.15


def test_statistics_are_kept_without_batchnorm_and_renewed_where_it_helps(family, layer_norm_family):
    f = layer_norm_family
    recipes = search(f.network, f.drifted, f.donors, f.rows, f.unlabelled).recipes
    assert all(r.statistics is Statistics.KEPT for r in recipes)
    shifted = replace(family, rows=Rows(family.rows.x * 3, family.rows.y), unlabelled=Rows(family.unlabelled.x * 3))
    result = search(shifted.network, shifted.drifted, shifted.donors, shifted.rows, shifted.unlabelled, PLAIN)
    assert result.recipe.statistics is not Statistics.KEPT


def test_the_budget_bounds_the_forward_passes(family):
    f = family
    options = SearchOptions(budget=30)
    result = search(f.network, f.drifted, f.donors, f.rows, None, options)
    assert result.passes <= 30 + 70  # rungs that were tried are still scored, steps count when they are taken
    assert any("budget" in reason for reason in result.skipped.values())


def test_a_donor_equal_to_the_drifted_model_is_left_out(family):
    f = family
    result = search(f.network, f.drifted, {"twin": dict(f.drifted), **f.donors}, f.rows, options=PLAIN)
    assert "twin" in result.skipped
    assert "twin" not in result.coefficients


def test_without_donors_only_the_steps_remain(layer_norm_family):
    f = layer_norm_family
    result = search(f.network, f.drifted, {}, f.rows)
    assert set(result.held_out) == {Rung.NONE, Rung.FINETUNE_20, Rung.FINETUNE_60, Rung.FINETUNE_200}


def test_rungs_that_need_donors_leave_the_model_as_it_is_without_them(layer_norm_family):
    f = layer_norm_family
    result = search(f.network, f.drifted, {}, f.rows, options=SearchOptions(rungs=(Rung.ONE,)))
    assert result.rung is Rung.NONE
    assert same(result.state, f.drifted)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Rows(np.zeros((20, 8, 8), np.float32)), "no labelled rows"),
        (Rows(np.zeros((0, 8, 8), np.float32), np.zeros(0, np.int64)), "no labelled rows"),
        (Rows(np.zeros((5, 8, 8), np.float32), np.arange(5)), "at least 8"),
        (Rows(np.zeros((20, 8, 8), np.float32), np.full(20, 3)), "all 20 labelled rows are of class 3"),
        (Rows(np.zeros((20, 8, 8), np.float32), np.arange(20) - 1), "negative"),
        (Rows(np.zeros((20, 8, 8), np.float32), np.arange(20)), "does not fit a network of 10 classes"),
    ],
)
def test_rows_that_cannot_tune_are_refused(family, rows, message):
    with pytest.raises(BadInput, match=message):
        search(family.network, family.drifted, family.donors, rows)


def test_weights_of_another_architecture_are_refused(family):
    f = family
    with pytest.raises(BadInput, match="lack"):
        search(f.network, {"other": torch.ones(2)}, {}, f.rows)


def test_a_missing_donor_is_named(family):
    f = family
    recipe = search(f.network, f.drifted, f.donors, f.rows, options=PLAIN).recipe
    with pytest.raises(BadInput, match="needs donor"):
        realise(f.network, f.drifted, {}, recipe, f.rows)


@given(st.floats(-0.5, 1.5), st.floats(0.1, 10))
def test_golden_section_is_as_good_as_a_fine_grid(valley, scale):
    def loss(x: float) -> float:
        return scale * (x - valley) ** 2

    looks: list[float] = []
    line = golden_section(lambda x: looks.append(x) or loss(x), loss(0.0), 12)
    grid = min(loss(x) for x in np.linspace(0, 1, 1001))
    assert line.value <= grid + scale * 0.01**2
    assert len(looks) == 12
    assert [x for x, _ in line.points] == sorted(x for x, _ in line.points)


def test_golden_section_never_prefers_what_is_not_finite():
    assert golden_section(lambda _: float("nan"), 1.0, 12).x == 0.0
    assert golden_section(lambda x: x, 0.0, 0).points == ((0.0, 0.0),)


@given(st.lists(st.integers(0, 4), min_size=10, max_size=200), st.integers(0, 3))
def test_the_tuning_split_keeps_classes_and_rows(labels, seed):
    rows = Rows(np.arange(len(labels), dtype=np.float32)[:, None], np.array(labels))
    tune, choose = tuning_split(rows, 0.7, seed)
    assert sorted([*tune.x.ravel(), *choose.x.ravel()]) == list(range(len(labels)))
    assert abs(len(tune) - 0.7 * len(labels)) <= 1
    for label in set(labels):
        assert abs(np.sum(tune.y == label) - 0.7 * labels.count(label)) <= 1.01


def test_rungs_are_parsed_in_the_order_of_the_ladder():
    assert parse_rungs("hull, none,one") == (Rung.NONE, Rung.ONE, Rung.HULL)
    assert parse_rungs("all") == LADDER
    with pytest.raises(BadInput, match="'jump' is unknown"):
        parse_rungs("none,jump")


def test_rows_of_another_shape_are_refused(family):
    f = family
    with pytest.raises(BadInput, match="does not take inputs of shape"):
        search(f.network, f.drifted, f.donors, Rows(np.zeros((20, 5), np.float32), np.arange(20) % 2))


def test_a_mix_has_the_same_bits_whatever_the_order_of_its_donors():
    random = torch.Generator().manual_seed(0)
    states = [{"w": torch.randn(500, generator=random)} for _ in range(4)]
    mix = Family(states[0], {str(i): difference(s, states[0]) for i, s in enumerate(states[1:])})
    shares = {"0": 0.31, "1": 0.17, "2": 0.23}
    backwards = dict(reversed(shares.items()))
    assert torch.equal(mix.at(shares)["w"], mix.at(backwards)["w"])


def test_inverted_images_are_refused_to_vectors_and_learned_from_200_labels(family):
    f = family
    everything = [f.rows, f.guard, f.test]
    images = np.concatenate([np.ascontiguousarray(np.rot90(r.x, k=-1, axes=(1, 2))) for r in everything])
    inverted = Rows(1 - images, np.concatenate([r.y for r in everything]))
    tune, guard, test = (inverted.take(np.arange(a, b)) for a, b in ((0, 200), (200, 400), (400, 600)))

    def judged(rungs):
        options = SearchOptions(rungs=rungs)
        found = search(f.network, f.drifted, f.donors, tune, None, options)
        states = {r.rung: realise(f.network, f.drifted, f.donors, r, tune, None, options) for r in found.recipes}
        said = {n: predict(f.network, s, guard).argmax(1) for n, s in states.items()}
        deployed = predict(f.network, f.drifted, guard).argmax(1)
        name, decision = choose_candidate(deployed, said, guard.y)
        return decision, float((predict(f.network, states[name], test).argmax(1) == test.y).mean())

    vector, reached = judged((Rung.NONE, Rung.ROLLBACK, Rung.ONE, Rung.HULL))
    assert not vector.accepted or reached < 0.5
    whole, reached = judged(LADDER)
    assert whole.accepted
    assert reached > 0.5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_on_cuda_the_search_finds_as_good_a_repair(family):
    f = family
    found = {
        device: search(f.network, f.drifted, f.donors, f.rows, f.unlabelled, SearchOptions(device=device))
        for device in ("cpu", "cuda")
    }
    right = {d: (predict(f.network, r.state, f.test, "cpu").argmax(1) == f.test.y).mean() for d, r in found.items()}
    assert right["cuda"] == pytest.approx(right["cpu"], abs=0.03)
    assert all(t.device.type == "cpu" for t in found["cuda"].state.values())
