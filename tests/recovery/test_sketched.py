from dataclasses import replace

import numpy as np
import pytest
import torch

from heritage.errors import BadInput
from heritage.recovery.models import open_folder
from heritage.recovery.recover import Options, recover_fingerprints
from heritage.testing import relations as made
from heritage.weights.fingerprinting import take_fingerprint


def prints_of(folder):
    with open_folder(folder) as (models, _):
        return {m.name: take_fingerprint(m.weights) for m in models}


@pytest.fixture
def prints(planter, saved):
    root = planter.root()
    a, b = planter.finetuned(root, 0.03), planter.finetuned(root, 0.04)
    states = {"root": root, "a": a, "b": b, "lora": planter.adapted(b), "copy": dict(a)}
    states["pruned"] = made.prune(a, 0.4, True)[0]
    states["int8"] = made.quantise(b, False)
    states["merge"] = made.linear([a, b], [0.4, 0.6])
    return prints_of(saved(states))


def test_proofs_without_weights_give_the_tree(prints):
    document = recover_fingerprints(prints).document()
    undirected = {(frozenset((e["parent"], e["child"])), e["relation"]) for e in document["edges"]}
    assert undirected == {
        (frozenset(("root", "a")), "finetune"),
        (frozenset(("root", "b")), "finetune"),
        (frozenset(("b", "lora")), "lora"),
        (frozenset(("a", "copy")), "copy"),
        (frozenset(("a", "pruned")), "prune"),
        (frozenset(("b", "int8")), "quantize"),
        (frozenset(("a", "merge")), "merge"),
        (frozenset(("b", "merge")), "merge"),
    }


def test_values_that_are_kept_show_ties_merges_and_decay(planter, saved):
    root = planter.root()
    a, b = planter.finetuned(root, 0.03), planter.finetuned(root, 0.04)
    prints = prints_of(saved({"root": root, "a": a, "b": b, "ties": made.ties(root, [a, b], 0.5)}))
    with_values = recover_fingerprints(prints).document()
    edges = {(e["parent"], e["child"], e["relation"]) for e in with_values["edges"]}
    assert edges == {
        ("root", "a", "finetune"),
        ("root", "b", "finetune"),
        ("a", "ties", "merge"),
        ("b", "ties", "merge"),
    }
    assert with_values["roots"] == ["root"]

    first = {n: replace(p, segments=0 * p.segments, sampled=p.sampled[:0]) for n, p in prints.items()}
    without = recover_fingerprints(first).document()
    assert "merge" not in {e["relation"] for e in without["edges"]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("per_row", [True, False])
def test_grids_are_seen_in_every_type(planter, saved, dtype, per_row):
    root = planter.root()
    a = planter.finetuned(root, 0.03)
    states = {"root": root, "a": a, "int8": made.quantise(a, per_row), "adapted": planter.adapted(a)}
    states["tuned"] = planter.finetuned(states["int8"], 0.02)
    document = recover_fingerprints(prints_of(saved(states, dtype))).document()
    edges = {(e["parent"], e["child"], e["relation"]) for e in document["edges"]}
    assert ("a", "int8", "quantize") in edges
    assert [e["relation"] for e in document["edges"]].count("quantize") == 1


def test_order_of_fingerprints_does_not_matter(prints):
    again = dict(sorted(prints.items(), key=lambda kv: kv[0][::-1]))
    assert recover_fingerprints(prints) == recover_fingerprints(again)


def test_methods_that_read_weights_are_refused(prints):
    for options in (Options(metric="rank"), Options(tree="mother")):
        with pytest.raises(BadInput, match="fingerprints"):
            recover_fingerprints(prints, options)


def test_sketched_distances_are_close_to_true_ones(planter, planted, saved):
    from heritage.recovery.distance import measure
    from heritage.recovery.sketched import PrintedModel, sketch_stack

    root = planter.root()
    states = {"a": root, "b": planter.finetuned(root, 0.03), "c": planter.finetuned(root, 0.01)}
    prints = prints_of(saved(states))
    stack = sketch_stack([PrintedModel(n, prints[n]) for n in states])
    sketched = np.nansum(measure(stack, [0, 1, 2]).squared, axis=0)
    with planted(states) as family:
        exact = np.nansum(family.distances.squared, axis=0)
    assert np.allclose(sketched, exact, rtol=0.15)


def test_a_copy_in_a_narrower_type_takes_no_children_from_its_original(planter, saved):
    root = planter.root()
    narrow = {k: v.bfloat16().float() for k, v in root.items()}
    states = {"root": root, "copy": narrow} | {f"c{i}": planter.finetuned(root, 0.01 * (i + 1)) for i in range(5)}
    document = recover_fingerprints(prints_of(saved(states))).document()
    edges = {frozenset((e["parent"], e["child"])) for e in document["edges"]}
    assert edges == {frozenset(("root", name)) for name in states if name != "root"}


def test_sums_in_sketches_are_rounded_too_which_refutes_no_merge(planter, saved):
    shapes = {"layer.3.dense.weight": (512, 128), "layer.4.dense.weight": (256, 256)}  # sums of sixteen values each
    root = planter.root() | {k: 0.2 * planter.noise(s) for k, s in shapes.items()}
    parents = {n: planter.finetuned(root, 0.02 + 0.005 * i) for i, n in enumerate("abc")}
    prints = prints_of(saved({"root": root, **parents, "soup": made.linear(list(parents.values()), [1 / 3] * 3)}))
    document = recover_fingerprints(prints).document()
    assert {(e["parent"], e["relation"]) for e in document["edges"] if e["child"] == "soup"} == {
        (n, "merge") for n in parents
    }
