"""Zeros of pruned models: filled by steps in their children, and by what was pruned in their relatives."""

import pytest

from heritage.recovery.cues import Cues
from heritage.recovery.direction import FEATURES
from heritage.recovery.filled import Filled, filled
from heritage.recovery.methods import METRICS, TREE_METHODS
from heritage.testing import relations as made


def test_a_child_moves_zeros_as_far_as_other_entries(planter, planted):
    pruned, _ = made.prune(planter.root(), 0.4, True)
    with planted({"pruned": pruned, "tuned": planter.finetuned(pruned, 0.02)}) as family:
        assert filled(family, 0, 1) == Filled(1.0, False)


def test_a_relative_of_what_was_pruned_holds_more_than_steps(planter, planted):
    root = planter.root()
    missing = planter.finetuned(root, 0.02)
    with planted({"pruned": made.prune(missing, 0.4, True)[0], "root": root}) as family:
        assert filled(family, 0, 1) == Filled(-1.0, True)
        cues = Cues(family, family.gather())
        seen = dict(zip(FEATURES, cues.features(0, 1), strict=True))
    assert seen["filled"] == -1.0
    assert seen["growth"] == seen["growth_each"] == seen["dispersion"] == seen["slope"] == 0.0


def test_too_few_zeros_tell_nothing(planter, planted):
    root = planter.root()
    with planted({"root": root, "child": planter.finetuned(root)}) as family:
        assert filled(family, 0, 1) == Filled()


@pytest.mark.parametrize("rounded", [False, True])
def test_what_was_pruned_from_a_missing_model_is_no_root(planter, planted, rounded):
    root = planter.root()
    pruned, _ = made.prune(planter.finetuned(root, 0.02, tuple(root)), 0.5, True)  # no row that only decayed
    states = {"leaf": made.quantise(pruned, True) if rounded else pruned, "root": root}
    with planted(states) as family:
        tree = TREE_METHODS["heritage"](family, METRICS["auto"](family))
    assert list(tree.roots) == [1]
