"""Children of an eight-bit copy and of its original, told apart by weights and by fingerprints."""

import numpy as np
import pytest

import heritage.recovery.originals as module
from heritage.recovery.models import open_folder
from heritage.recovery.recover import BY_PRINTS, Options, groups_of, recover, recover_fingerprints
from heritage.recovery.scaling import _count
from heritage.recovery.sketched import PrintedModel
from heritage.testing import relations as made
from heritage.weights.fingerprinting import take_fingerprint

ORIGINAL, COPY = ("of_root", "other"), ("of_int8", "far_int8")


@pytest.fixture
def states(planter):
    """A root, its eight-bit copy, children of both by steps that are long beside what rounding did, and a merge."""
    root = planter.root()
    int8 = made.quantise(root, True)
    children = {
        "of_root": planter.finetuned(root, 0.01),
        "other": planter.finetuned(root, 0.015),
        "of_int8": planter.finetuned(int8, 0.01),
        "far_int8": planter.finetuned(int8, 0.015),
    }
    between = made.linear([children["other"], children["far_int8"]], [0.5, 0.5])
    return {"root": root, "int8": int8, **children, "between": between}


def sketched(folder):
    with open_folder(folder) as (models, _):
        printed = [PrintedModel(m.name, take_fingerprint(m.weights)) for m in models]
    (found,) = groups_of(printed, BY_PRINTS, Options())
    return found.family


def odds_by_name(family):
    names = [family.stack.models[i].name for i in family.members]
    odds = module.log_odds(family, names.index("root"), names.index("int8"))
    return dict(zip(names, odds.tolist(), strict=True))


def test_children_of_the_copy_and_of_the_original_have_odds_of_opposite_signs(states, planted, saved):
    with planted(states) as family:
        found = [odds_by_name(family), odds_by_name(sketched(saved(states)))]
    for odds in found:
        assert all(odds[n] > 5 for n in COPY)
        assert all(odds[n] < -5 for n in ORIGINAL)
        assert odds["root"] == odds["int8"] == 0.0
    assert found[0]["between"] == 0.0  # a merge of both sides is nobody's child


def test_odds_are_those_of_normal_steps_slot_by_slot(states, planted):
    with planted(states) as family:
        d2, sizes = family.distances.squared, family.distances.sizes
        moved = d2[:, 0, 1] > 0
        expected = [(sizes[moved] / 2 * np.log(d2[moved, 0, c] / d2[moved, 1, c])).sum() for c in (2, 4)]
        assert np.allclose(module.log_odds(family, 0, 1)[[2, 4]], expected)


def test_trees_have_the_children_where_they_belong(states, saved):
    folder = saved(states)
    with open_folder(folder) as (models, _):
        documents = [
            recover(models).document(),
            recover_fingerprints({m.name: take_fingerprint(m.weights) for m in models}).document(),
        ]
    for document in documents:
        parent = {e["child"]: e["parent"] for e in document["edges"] if e["relation"] == "finetune"}
        assert [parent.get(n) for n in COPY] == ["int8", "int8"]
        assert [parent.get(n) for n in ORIGINAL] == ["root", "root"]


def test_rows_that_learnt_nothing_tell_what_sketches_do_not(planter, saved, monkeypatch):
    root = planter.root()
    int8 = made.quantise(root, True)
    child = planter.finetuned(int8, 0.1)  # far beyond what any sketch resolves
    child["embed.weight"][:12] = int8["embed.weight"][:12]
    others = {n: planter.finetuned(root, 0.02) for n in ("a", "b")}
    family = sketched(saved({"root": root, "int8": int8, "child": child, **others}))
    assert odds_by_name(family)["child"] > 20
    monkeypatch.setattr(module, "_of_rows", lambda family, *_: np.zeros((2, family.count)))
    assert abs(odds_by_name(family)["child"]) < 5


def test_rows_that_moved_both_ways_are_refuted_without_looking_at_all_of_them(rng):
    """Against the plain count over all entries, for shapes beyond and below what is looked at first."""
    for shape in ((5, 40), (40, 5), (33, 200), (200, 33), (90, 100)):
        a = rng.normal(size=shape).astype(np.float32)
        b = a + rng.normal(size=shape).astype(np.float32) / 100
        for axis in (0, 1):
            lines = np.moveaxis(b, axis, 0), np.moveaxis(a, axis, 0)
            for i, factor in enumerate((0.99, 1.01, 1.0)):
                lines[0][i] = lines[1][i] * np.float32(factor)
        b[rng.random(shape) < 0.1] = 0
        assert _count(a, b, 16) == _plainly(a, b, 16)


def _plainly(a, b, least):
    change = np.where((a == 0) | (b == 0), 0, b.astype(float) ** 2 - a.astype(float) ** 2)
    counts = [0, 0, 0]
    for x, values in ((change, a), (change.T, a.T)):
        if x.shape[1] >= least:
            for row, value in zip(x, values, strict=True):
                down, up = (row < 0).sum(), (row > 0).sum()
                counts[0] += down >= least and not up
                counts[1] += up >= least and not down
                counts[2] += not down and not up and value.any()
    return tuple(counts)
