import time
from contextlib import ExitStack

import numpy as np
import pytest
import torch

from heritage.recovery.distance import measure
from heritage.recovery.families import Similarity, by_threshold, similarity
from heritage.recovery.incremental import _beside_first, place
from heritage.recovery.quality import assess, stable_ids
from heritage.recovery.sketched import PrintedModel, sketch_stack, whole_sample
from heritage.testing import relations as made
from heritage.weights.checkpoint import Checkpoint
from heritage.weights.fingerprinting import take_fingerprint

from .conftest import Planter, save

_LAYER = {"query.weight": (16, 16), "dense.weight": (24, 16), "dense.bias": (24,), "norm.weight": (16,)}


def prints_of(folder):
    with ExitStack() as stack:
        files = sorted(folder.glob("*.safetensors"))
        return {f.stem: take_fingerprint(stack.enter_context(Checkpoint.open(f))) for f in files}


@pytest.fixture
def known(saved):
    """Two families and new models of every kind."""
    p, q = Planter(1), Planter(2)
    root, other = p.root(), q.root()
    a, b = p.finetuned(root, 0.03), p.finetuned(root, 0.03)
    states = {"root": root, "a": a, "b": b, "other": other, "other-a": q.finetuned(other, 0.03)}
    states["new-ft"] = p.finetuned(a, 0.02)
    states["new-pruned"] = made.prune(b, 0.5, True)[0]
    states["new-merge"] = made.linear([a, b], [0.5, 0.5])
    states["new-alone"] = Planter(9).root()
    folder = saved(states)
    prints = prints_of(folder)
    families = {"one": {n: prints[n] for n in ("root", "a", "b")}, "two": {n: prints[n] for n in ("other", "other-a")}}
    return folder, prints, families


@pytest.mark.parametrize("with_weights", [True, False])
@pytest.mark.parametrize(
    ("name", "parents", "relation"),
    [("new-ft", {"a"}, "finetune"), ("new-pruned", {"b"}, "prune"), ("new-merge", {"a", "b"}, "merge")],
)
def test_a_new_model_finds_its_family_and_parents(known, with_weights, name, parents, relation):
    folder, prints, families = known
    asked = []

    def weights(model):
        asked.append(model)
        return Checkpoint.open(folder / f"{model}.safetensors")

    found = place(name, prints[name], families, weights if with_weights else None)
    assert found.family == "one"
    assert {e.parent for e in found.parents} == parents
    assert {e.relation for e in found.parents} == {relation}
    assert len(asked) <= 4
    assert not with_weights or asked[0] == name


def test_an_unrelated_model_has_no_family(known):
    _, prints, families = known
    found = place("new-alone", prints["new-alone"], families)
    assert (found.family, found.parents, found.nearest) == (None, (), ())


def test_a_parent_that_comes_late_gets_its_children(known):
    _, prints, _families = known
    found = place("root", prints["root"], {"one": {n: prints[n] for n in ("a", "b")}})
    assert found.family == "one"
    assert {e.child for e in found.children} == {"a", "b"}


def test_a_family_of_500_takes_less_than_a_second(known):
    _, prints, _ = known
    crowd = {"one": {f"copy-{i}": prints[("root", "a", "b")[i % 3]] for i in range(500)}}
    start = time.process_time()
    found = place("new-ft", prints["new-ft"], crowd)
    assert time.process_time() - start < 1.0
    assert found.family == "one"


def test_one_row_is_the_row_of_all_pairs(known, tmp_path):
    _, prints, _ = known
    head = Planter(5).root()
    head["classifier.weight"] = head["classifier.weight"][:3]
    prints |= prints_of(save({"other-head": head}, tmp_path / "more"))
    stack = sketch_stack([PrintedModel(n, p) for n, p in prints.items()])
    likeness, squared = _beside_first(stack)
    assert np.allclose(likeness, similarity(stack, whole_sample(stack)).z[0, 1:], rtol=1e-6, atol=1e-6)
    whole = measure(stack, range(len(stack.models))).squared[:, 0, 1:]
    assert np.isnan(whole).any()
    assert np.allclose(squared, np.nansum(whole, axis=0), rtol=1e-4)


@pytest.mark.slow
def test_placing_one_model_in_a_large_family_of_many_tensors_takes_less_than_a_second(tmp_path):
    rng = np.random.default_rng(0)
    root = {f"layer.{i}.{k}": 0.1 * rng.normal(size=s) for i in range(50) for k, s in _LAYER.items()}
    states = {"root": root}
    for i in range(501):
        parent = states[f"m{i // 3}"] if i > 9 else root
        states[f"m{i}"] = {k: v + 0.005 * rng.normal(size=v.shape) for k, v in parent.items()}
    tensors = {n: {k: torch.from_numpy(v).float() for k, v in state.items()} for n, state in states.items()}
    folder = save(tensors, tmp_path)
    prints = prints_of(folder)
    new = prints.pop("m500")
    start = time.process_time()
    found = place("m500", new, {"one": prints}, lambda n: Checkpoint.open(folder / f"{n}.safetensors"))
    assert time.process_time() - start < 1.0
    assert [e.parent for e in found.parents] == ["m166"]


def test_quality_names_outliers_and_is_stable_on_clear_families():
    cosine = np.full((7, 7), 0.0)
    cosine[:4, :4] = cosine[4:, 4:] = 0.9
    cosine[3, :3] = cosine[:3, 3] = 0.3
    np.fill_diagonal(cosine, 1.0)
    similar = Similarity(cosine, np.full((7, 7), 0.01))
    labels = by_threshold(similar)
    q = assess(similar, labels, by_threshold, 12.0, np.random.default_rng(0))
    assert q.outliers == (3,)
    assert q.stability == 1.0
    assert q.silhouette > 0.5


def test_ids_follow_the_members():
    old = {"f1": frozenset("abc"), "f2": frozenset("de")}
    new = [frozenset("de"), frozenset("abx"), frozenset("c"), frozenset("yz")]
    assert stable_ids(old, new, ["p", "q", "f1", "s"]) == ["f2", "f1", "f1-2", "s"]
    assert stable_ids({}, [frozenset("a")], ["p"]) == ["p"]
