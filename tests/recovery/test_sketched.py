import numpy as np
import pytest

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
