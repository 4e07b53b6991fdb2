import pytest
import torch

from heritage.recovery.evidence import gather
from heritage.recovery.proofs.lowrank import low_rank
from heritage.testing import relations as made

BOTH = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])


def base(planter, dtype=torch.float32):
    """A root and two fine-tunes, rounded as they will be saved."""
    root = planter.root()
    states = {"root": root, "a": planter.finetuned(root, 0.03), "b": planter.finetuned(root, 0.03)}
    return {n: {k: v.to(dtype).float() for k, v in s.items()} for n, s in states.items()}


def edges_of(evidence, names):
    return {(names[p.parents[0]], names[p.child], p.relation) for p in evidence.edges}


def merges_of(evidence, names):
    return {(frozenset(names[i] for i in p.parents), names[p.child], p.method) for p in evidence.merges}


@BOTH
@pytest.mark.parametrize("whole", [True, False])
def test_a_pruned_model_is_proved_with_its_parent(planter, planted, dtype, whole):
    states = base(planter, dtype)
    states["pruned"] = made.prune(states["a"], 0.5, whole)[0]
    with planted(states, dtype) as family:
        assert edges_of(gather(family), list(states)) == {("a", "pruned", "prune")}


@BOTH
@pytest.mark.parametrize("per_row", [True, False])
def test_a_quantised_model_is_proved_with_its_parent(planter, planted, dtype, per_row):
    states = base(planter, dtype)
    states["q"] = made.quantise(states["b"], per_row)
    with planted(states, dtype) as family:
        assert edges_of(gather(family), list(states)) == {("b", "q", "quantize")}


def test_a_copy_in_another_type_is_proved(planter, planted):
    states = base(planter)
    states["narrow"] = {k: v.to(torch.bfloat16) for k, v in states["a"].items()}
    with planted(states) as family:
        assert edges_of(gather(family), list(states)) == {("a", "narrow", "copy")}


@BOTH
def test_linear_merges_and_soups_are_proved_with_all_parents(planter, planted, dtype):
    states = base(planter, dtype)
    states["c"] = planter.finetuned(states["root"], 0.03)
    states["line"] = made.linear([states["a"], states["b"]], [0.3, 0.7])
    states["soup"] = made.linear([states["a"], states["b"], states["c"]], [1 / 3] * 3)
    with planted(states, dtype) as family:
        found = merges_of(gather(family), list(states))
    assert (frozenset("ab"), "line", "linear") in found
    assert (frozenset("abc"), "soup", "linear") in found
    assert len(found) == 2


@pytest.mark.parametrize("whole", [True, False])
def test_spherical_merges_are_proved(planter, planted, whole):
    states = base(planter)
    states["m"] = made.slerp([states["a"], states["b"]], 0.4, whole)
    with planted(states) as family:
        assert merges_of(gather(family), list(states)) == {(frozenset("ab"), "m", "slerp")}


@pytest.mark.parametrize("parents", [("a", "b"), ("a", "b", "c")])
def test_ties_merges_are_proved_with_their_base(planter, planted, parents):
    states = base(planter)
    states["c"] = planter.finetuned(states["root"], 0.03)
    states["m"] = made.ties(states["root"], [states[p] for p in parents], 0.4)
    names = list(states)
    with planted(states) as family:
        evidence = gather(family)
    assert merges_of(evidence, names) == {(frozenset(parents), "m", "ties")}
    assert names[evidence.merges[0].base] == "root"


@BOTH
def test_nothing_is_proved_of_models_that_were_only_trained(planter, planted, dtype):
    states = base(planter, dtype)
    states["grandchild"] = planter.finetuned(states["a"], 0.01)
    with planted(states, dtype) as family:
        evidence = gather(family)
    assert not evidence.edges
    assert not evidence.merges


@BOTH
def test_an_adapter_shows_its_rank_and_its_direction(planter, planted, dtype):
    states = base(planter, dtype)
    states["lora"] = planter.adapted(states["root"], rank=3)
    with planted(states, dtype) as family:
        forward, backward = low_rank(family, 0, 3), low_rank(family, 3, 0)
        trained = low_rank(family, 0, 1)
    assert forward is not None
    assert backward is not None
    assert set(forward.ranks.values()) == {3}
    assert forward.nats > 20 > -20 > backward.nats
    assert trained is None


def test_two_merges_of_the_same_parents_do_not_take_each_other_for_parents(planter, planted):
    states = base(planter)
    states["m"] = made.linear([states["a"], states["b"]], [0.5, 0.5])
    states["n"] = made.linear([states["a"], states["b"]], [0.25, 0.75])
    with planted(states) as family:
        found = merges_of(gather(family), list(states))
    assert found == {(frozenset("ab"), "m", "linear"), (frozenset("ab"), "n", "linear")}


def test_of_two_models_that_differ_by_their_heads_the_quantised_one_has_its_head_from_its_parent(planter, planted):
    root = planter.root()
    other = {**root, "classifier.weight": planter.noise((9, 32)), "classifier.bias": planter.noise((9,))}
    with planted({"other": other, "root": root, "int8": made.quantise(root, False)}) as family:
        found = family.gather().edges
    assert [(p.relation, p.parents, p.child) for p in found] == [("quantize", (1,), 2)]
